//! What /usr lies on in a guest. Each layout but the plain one is a script of the recipe that the guest's
//! init reads; what needs a disk of its own has it made once, in a guest, by the tools of that.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use sha2::{Digest as _, Sha256};

use super::{image, kernel::Kernel, recipe};
use crate::{
    cache,
    guest::{Ending, Guest, Init},
};

/// A layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// A filesystem of its own, ext4
    Ext4,
    /// A filesystem of its own, xfs
    Xfs,
    /// The one mounted subvolume of a btrfs
    Btrfs,
    /// A subvolume of the btrfs that / is another one of
    Subvolume,
    /// A folder of the root filesystem
    Root,
    /// A folder of a writable filesystem, bound
    Bind,
    /// An ext4 on a logical volume
    Lvm,
    /// Several filesystems: /usr, /usr/share, /usr/local
    Several,
    /// An overlay of a squashfs and a writable folder
    Overlay,
    /// As ext4, with an extension for systemd-sysext
    Extension,
    /// A squashfs
    Squashfs,
    /// An erofs
    Erofs,
}

/// Size of a layout's disk; sparse.
const BYTES: u64 = 2 << 30;

/// How long it may take to fill one.
const TIMEOUT: Duration = Duration::from_secs(900);

impl Layout {
    /// Those that have scenarios of their own: all but the plain one, which has all the others.
    pub(crate) const WITH_SCENARIOS: [Self; 11] = [
        Self::Xfs,
        Self::Btrfs,
        Self::Subvolume,
        Self::Root,
        Self::Bind,
        Self::Lvm,
        Self::Several,
        Self::Overlay,
        Self::Extension,
        Self::Squashfs,
        Self::Erofs,
    ];

    /// Its name on the command line, and its script's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Subvolume => "subvolume",
            Self::Root => "root",
            Self::Bind => "bind",
            Self::Lvm => "lvm",
            Self::Several => "several",
            Self::Overlay => "overlay",
            Self::Extension => "extension",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
        }
    }

    /// The script for the guest's init; none for the plain layout.
    pub(crate) fn script(self) -> Result<Option<Vec<u8>>> {
        if self == Self::Ext4 {
            return Ok(None);
        }
        let file = recipe().join("layouts").join(self.name());
        let script = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(script))
    }

    /// Its disk, in the folder of the guest's image; none where it needs none.
    pub(crate) fn disk(self) -> Result<Option<PathBuf>> {
        let Some((maker, script)) = self.maker()? else {
            return Ok(None);
        };
        let hash = format!("{:x}", Sha256::digest(script));
        let name = format!("{}-{}.img", maker.name(), &hash[..16]);
        Ok(Some(image::folder()?.join(name)))
    }

    /// Makes the disk.
    pub(crate) fn provide(self) -> Result<()> {
        let (Some((_, script)), Some(target)) = (self.maker()?, self.disk()?) else {
            return Ok(());
        };
        let draft = cache::draft(&target)?;
        let blank = draft.path().join("disk");
        File::create(&blank)?.set_len(BYTES)?;
        let script = String::from_utf8(script).context("a script is text")?;
        let guest = Guest {
            init: Init::Sh,
            timeout: TIMEOUT,
            blank: Some(blank.clone()),
            ..Guest::systemd(Kernel::Trixie)
        };
        let fill =
            format!("{script}\nset -e\nimage \"$(readlink /run/rousr-lab/disk-blank)\"\nsync");
        let (ending, said) = guest.run_whole(&["sh", "-c", &fill].map(Into::into), Vec::new)?;
        ensure!(
            ending == Ending::Exited(0),
            "the guest that fills the disk: {ending:?}\n{}",
            String::from_utf8_lossy(&said)
        );
        fs::rename(blank, target)?;
        Ok(())
    }

    /// The layout whose script makes the disk, and that script.
    fn maker(self) -> Result<Option<(Self, Vec<u8>)>> {
        let maker = match self {
            Self::Subvolume => Self::Btrfs,
            Self::Overlay => Self::Squashfs,
            other => other,
        };
        let script = maker.script()?;
        let makes = |script: &Vec<u8>| script.windows(9).any(|text| text == b"\nimage() ");
        Ok(script.filter(makes).map(|script| (maker, script)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_what_it_needs() {
        for layout in Layout::value_variants() {
            let is_plain = *layout == Layout::Ext4;
            assert_eq!(layout.script().unwrap().is_none(), is_plain, "{layout:?}");
        }
        let made = |layout: Layout| layout.maker().unwrap().map(|(maker, _)| maker);
        assert_eq!(made(Layout::Overlay), Some(Layout::Squashfs));
        assert_eq!(made(Layout::Xfs), Some(Layout::Xfs));
        assert_eq!(made(Layout::Bind), None);
    }
}
