//! The mounted filesystem that holds a path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
}
