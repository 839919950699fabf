//! The other filesystems below /usr that are to be read-only: each has a keeper of its own.

use std::{
    collections::BTreeSet,
    fmt::Display,
    path::{Path, PathBuf},
};

use super::{Error, HostKeeper, Outcome, Places, error::failed, keeper::USR};
use crate::{
    seal::{Level, Volume},
    sys::{
        mount::read_mountinfo,
        mountinfo::{self, Mount},
    },
};

impl HostKeeper {
    /// The keepers of the filesystems that are mounted below /usr and are to be read-only, by their
    /// mount points.
    ///
    /// # Errors
    ///
    /// Fails where the mounts cannot be read.
    pub fn beside(&self) -> Result<Vec<Self>, Error> {
        let mountinfo = read_mountinfo().map_err(failed("read the mounts"))?;
        let mut keepers = Vec::new();
        for volume in below(self.volume(), &mountinfo) {
            let places = self.places.beside(&volume.mount_point);
            let keeper = Self::of(volume, places)?;
            // What cannot be looked at so, such as a single file that is bound there, is none.
            if keeper.is_to_be_kept().unwrap_or(false) {
                keepers.push(keeper);
            }
        }
        Ok(keepers)
    }

    /// Whether the volume that holds /usr is another by now.
    pub fn is_moved(&self) -> bool {
        let mounts = read_mountinfo().unwrap_or_default();
        Volume::containing(Path::new(USR), &mounts).is_some_and(|volume| volume != self.volume)
    }

    fn is_to_be_kept(&self) -> Result<bool, Error> {
        Ok(self.wanted()? > Level::Open && self.seal.state()?.frozen.is_none())
    }
}

impl Places {
    /// Where things are of the volume mounted there. One lock serves all.
    fn beside(&self, mount_point: &Path) -> Self {
        Self {
            // It is about /usr.
            config: "/dev/null".into(),
            ledger: beside(&self.ledger, mount_point),
            openings: beside(&self.openings, mount_point),
            beside: Some(mount_point.to_owned()),
            ..self.clone()
        }
    }
}

/// `FILE@usr%share` for /usr/share.
fn beside(file: &Path, mount_point: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("@");
    for (index, part) in mount_point.iter().skip(1).enumerate() {
        if index > 0 {
            name.push("%");
        }
        name.push(part);
    }
    name.into()
}

/// The filesystems other than `own` that paths below /usr lead to, each by the first mount of it.
fn below(own: &Volume, mountinfo: &[u8]) -> Vec<Volume> {
    let mounts = mountinfo::parse(mountinfo);
    let mut volumes: Vec<Volume> = mounts
        .iter()
        .filter(|mount| mount.mount_point.starts_with(USR) && mount.mount_point != Path::new(USR))
        .filter(|mount| mount.device != own.device && !is_remote(mount))
        .filter(|mount| is_visible(&mounts, mount))
        .map(Volume::from)
        .collect();
    volumes.sort_by(|one, other| one.mount_point.cmp(&other.mount_point));
    let mut devices = BTreeSet::new();
    volumes.retain(|volume| devices.insert(volume.device.encoded()));
    volumes
}

/// Whether its path leads to it: no other mount lies over it or over what it is mounted on.
fn is_visible(mounts: &[Mount], mount: &Mount) -> bool {
    let reached = mountinfo::topmost(mounts, &mount.mount_point);
    let on = mounts.iter().find(|other| other.id == mount.parent);
    reached.is_some_and(|reached| reached.id == mount.id)
        && on.is_none_or(|on| on.id == mount.id || is_visible(mounts, on))
}

/// Whether another machine or a program says what can be done there.
fn is_remote(mount: &Mount) -> bool {
    const TYPES: [&[u8]; 7] = [
        b"nfs",
        b"nfs4",
        b"cifs",
        b"smb3",
        b"9p",
        b"virtiofs",
        b"autofs",
    ];
    let name = mount.fs_type.as_encoded_bytes();
    TYPES.contains(&name) || name.starts_with(b"fuse")
}

impl Outcome {
    /// Adds what the same step led to on another volume: that it went wrong there, or is not as
    /// wanted, is a warning here.
    pub fn add(&mut self, mount_point: &Path, other: Result<Self, impl Display>) {
        let mount_point = mount_point.display();
        let other = match other {
            Ok(other) => other,
            Err(error) => return self.warnings.push(format!("{mount_point}: {error}")),
        };
        self.preserved += other.preserved;
        self.kept += other.kept;
        self.reaped += other.reaped;
        // What is wrong with the hook stream is so for each volume.
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        if other.open_for.is_empty() && other.level == Level::Open && other.wanted > Level::Open {
            self.warnings.push(format!(
                "{mount_point} is still writable: see `rousr status`"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_paths_below_usr_lead_to_is_found() {
        const MOUNTS: &[u8] = b"\
24 1 8:1 / / rw - ext4 /dev/a rw
31 24 8:2 / /usr ro - ext4 /dev/b ro
32 31 8:3 / /usr/share ro - ext4 /dev/c ro
33 31 0:31 /@local /usr/local ro - btrfs /dev/d ro
34 31 8:2 /src /usr/src ro - ext4 /dev/b ro
35 31 0:40 / /usr/net ro - nfs4 server:/ ro
36 24 8:5 / /usrx ro - ext4 /dev/e ro
37 31 0:31 /@opt /usr/opt ro - btrfs /dev/d ro
";
        let found = |mounts: &[u8]| {
            let own = Volume::containing(Path::new(USR), MOUNTS).expect("/usr");
            let volumes = below(&own, mounts).into_iter();
            volumes.map(|volume| volume.mount_point).collect::<Vec<_>>()
        };
        assert_eq!(
            found(MOUNTS),
            [Path::new("/usr/local"), Path::new("/usr/share")]
        );
        // An overlay over /usr hides what is mounted below it.
        let merged = [
            MOUNTS,
            b"40 31 0:50 / /usr ro - overlay sysext ro,lowerdir=/a\n",
        ]
        .concat();
        assert_eq!(found(&merged), [] as [&Path; 0]);
    }

    #[test]
    fn every_volume_has_files_of_its_own() {
        let places = Places::default();
        let ledger = |mount_point: &str| places.beside(Path::new(mount_point)).ledger;
        assert_eq!(
            ledger("/usr/share"),
            Path::new("/var/lib/rousr/ledger@usr%share")
        );
        assert_ne!(ledger("/usr/a/b"), ledger("/usr/a-b"));
        assert_eq!(places.beside(Path::new("/usr/share")).lock, places.lock);
    }
}
