//! The mounted filesystem that holds a path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Level, fstab};
use crate::sys::mount::MountState;
use crate::sys::mountinfo::{self, Device};

/// A mounted filesystem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Volume {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The directory of the filesystem that is mounted; `/` but for bind mounts and subvolumes.
    pub root: PathBuf,
    /// The superblock's device: what the kernel compares as `s_dev`, not stat(2)'s st_dev.
    pub device: Device,
    /// The filesystem's type.
    pub fs_type: OsString,
    /// What is mounted, often a block device's path.
    pub source: OsString,
}

impl Volume {
    /// The volume that holds `path`, which is absolute and free of symlinks, by the content of a
    /// mountinfo file. `None` where that does not mention the root.
    pub fn containing(path: &Path, mountinfo: &[u8]) -> Option<Self> {
        let mounts = mountinfo::parse(mountinfo);
        path.ancestors()
            .find_map(|mount_point| mountinfo::topmost(&mounts, mount_point))
            .map(Self::from)
    }

    /// The level that the administrator wants it at outside of transactions.
    ///
    /// Read-only by `fstab` (its content), or read-only in `state` before rousr touched it, means as
    /// far as the other mounts of the superblock allow. Else it is [`Level::Open`]: rousr never seals
    /// what was not sealed.
    pub fn wanted(&self, fstab: &[u8], state: MountState) -> Level {
        let by_fstab = fstab::read_only(fstab, &self.mount_point) == Some(true);
        if by_fstab || Level::of(state) > Level::Open {
            Level::reachable(state)
        } else {
            Level::Open
        }
    }
}

impl From<&mountinfo::Mount> for Volume {
    fn from(mount: &mountinfo::Mount) -> Self {
        Self {
            mount_point: mount.mount_point.clone(),
            root: mount.root.clone(),
            device: mount.device,
            fs_type: mount.fs_type.clone(),
            source: mount.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
24 1 259:1 / / rw - ext4 /dev/nvme0n1 rw
31 24 259:2 / /usr ro - ext4 /dev/nvme1n1 rw
32 31 0:31 /@local /usr/local rw - btrfs /dev/sda rw
";

    #[test]
    fn the_deepest_mount_holds_a_path() {
        let cases = [
            ("/usr", "/usr", 259, 2),
            ("/usr/lib/x", "/usr", 259, 2),
            ("/usr/local/bin", "/usr/local", 0, 31),
            ("/usrx", "/", 259, 1),
            ("/", "/", 259, 1),
        ];
        for (path, mount_point, major, minor) in cases {
            let volume = Volume::containing(Path::new(path), MOUNTS).expect(path);
            assert_eq!(
                (volume.mount_point.as_path(), volume.device),
                (Path::new(mount_point), Device { major, minor })
            );
        }
        assert_eq!(Volume::containing(Path::new("/usr"), b""), None);
    }

    #[test]
    fn nothing_is_wanted_read_only_that_was_not() {
        let usr = Volume::containing(Path::new("/usr"), MOUNTS).expect("/usr");
        let fstab_ro: &[u8] = b"LABEL=usr /usr ext4 ro 0 2\n";
        let fstab_rw: &[u8] = b"LABEL=usr /usr ext4 defaults 0 2\n";
        let open = MountState::default();
        let mount_ro = MountState {
            mount_read_only: true,
            ..open
        };
        let shared = MountState {
            shared_writable: true,
            ..open
        };
        let cases = [
            (fstab_ro, open, Level::Sealed),
            (fstab_rw, open, Level::Open),
            (b"", open, Level::Open),
            (fstab_rw, mount_ro, Level::Sealed),
            (fstab_ro, shared, Level::MountSealed),
            (fstab_rw, shared, Level::Open),
            (
                b"",
                MountState {
                    superblock_read_only: true,
                    ..shared
                },
                Level::Sealed,
            ),
        ];
        for (fstab, state, wanted) in cases {
            assert_eq!(
                usr.wanted(fstab, state),
                wanted,
                "{} {state:?}",
                fstab.escape_ascii()
            );
        }
    }
}
