//! Filesystems that nothing can make writable.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{major, minor};

use super::mountinfo::{Device, Mount};

/// Why a filesystem can never be made writable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frozen {
    /// It is of a type that is written once, as a whole.
    Type(&'static str),
    /// An overlay without a layer to write to, as systemd-sysext(8) makes it.
    Overlay,
    /// Its device refuses to be written to.
    Device,
}

/// Types of filesystem that the kernel only reads.
const TYPES: [&str; 5] = ["squashfs", "erofs", "iso9660", "cramfs", "romfs"];

impl Frozen {
    /// Whether and why a mounted filesystem can never be made writable.
    pub fn of(mount: &Mount) -> Option<Self> {
        Self::by_kind(mount)
            .or_else(|| (mount.superblock_read_only && is_protected(mount)).then_some(Self::Device))
    }

    /// By what mountinfo tells alone.
    fn by_kind(mount: &Mount) -> Option<Self> {
        let name = mount.fs_type.as_encoded_bytes();
        if let Some(kind) = TYPES.iter().find(|kind| kind.as_bytes() == name) {
            return Some(Self::Type(kind));
        }
        let mut options = mount.options.split(|&byte| byte == b',');
        let has_upper = options.any(|option| option.starts_with(b"upperdir="));
        (name == b"overlay" && !has_upper).then_some(Self::Overlay)
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(
                f,
                "its filesystem, {kind}, cannot be written to: build and mount a new image instead of \
                 upgrading in place"
            ),
            Self::Overlay => f.write_str(
                "it is an overlay without a layer to write to: take it off first (`systemd-sysext unmerge` \
                 where that made it), and put it back afterwards",
            ),
            Self::Device => f.write_str(
                "its device is read-only: `blockdev --setrw` where that was done on purpose; a verity device or \
                 an image is built anew instead",
            ),
        }
    }
}

/// Whether the kernel takes the block device for read-only. A filesystem without one of its own
/// (btrfs) tells it as its source.
fn is_protected(mount: &Mount) -> bool {
    let device = match mount.device.major {
        0 => match fs::metadata(&mount.source) {
            Ok(source) if source.rdev() != 0 => Device {
                major: major(source.rdev()),
                minor: minor(source.rdev()),
            },
            _ => return false,
        },
        _ => mount.device,
    };
    let flag = format!("/sys/dev/block/{}:{}/ro", device.major, device.minor);
    fs::read(flag).is_ok_and(|flag| flag.starts_with(b"1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mountinfo::parse;

    #[test]
    fn what_can_never_be_written_to_is_told_from_what_is_read_only() {
        let table: [(&[u8], Option<Frozen>); 6] = [
            (
                b"1 1 7:0 / /usr ro - squashfs /dev/a ro\n",
                Some(Frozen::Type("squashfs")),
            ),
            (
                b"1 1 7:0 / /usr ro - erofs /dev/a ro,user_xattr\n",
                Some(Frozen::Type("erofs")),
            ),
            (
                b"1 1 0:9 / /usr ro - overlay sysext ro,lowerdir=/a:/b\n",
                Some(Frozen::Overlay),
            ),
            (
                b"1 1 0:9 / /usr ro - overlay o ro,lowerdir=/a,upperdir=/b,workdir=/c\n",
                None,
            ),
            (b"1 1 0:9 / /usr ro - btrfs /dev/a ro,subvol=/usr\n", None),
            (b"1 1 8:1 / /usr ro - ext4 /dev/a ro\n", None),
        ];
        for (line, expected) in table {
            let mount = &parse(line)[0];
            assert_eq!(Frozen::by_kind(mount), expected, "{}", line.escape_ascii());
        }
    }
}
