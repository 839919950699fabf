//! `/proc/PID/mountinfo`, the only place where the kernel tells a mount's read-only flag from its
//! superblock's: statfs gives their union (`calculate_f_flags`, fs/statfs.c).
//!
//! <https://elixir.bootlin.com/linux/v6.12/source/fs/proc_namespace.c>

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A superblock's device (`s_dev`).
///
/// On btrfs and overlayfs this is not what stat(2) gives as st_dev.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Device {
    /// The driver's number.
    pub major: u32,
    /// The device's number within its driver.
    pub minor: u32,
}

impl Device {
    /// As the kernel keeps it in `super_block.s_dev` (`MKDEV`): 12 bits and 20 bits.
    pub fn encoded(self) -> u32 {
        self.major << 20 | self.minor & 0xf_ffff
    }
}

/// One mount of the reader's mount namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// The mount's id, which statx(2) gives as `stx_mnt_id`.
    pub id: u64,
    /// The id of the mount it sits on.
    pub parent: u64,
    /// The superblock's device.
    pub device: Device,
    /// The directory of the filesystem that is mounted; `/` but for bind mounts and subvolumes.
    pub root: PathBuf,
    /// Where it is mounted, as seen from the reader's root.
    pub mount_point: PathBuf,
    /// The mount's own read-only flag.
    pub mount_read_only: bool,
    /// The filesystem's type.
    pub fs_type: OsString,
    /// What is mounted, often a block device's path.
    pub source: OsString,
    /// The superblock's read-only flag.
    pub superblock_read_only: bool,
    /// All of the superblock's options, as the kernel writes them.
    pub options: Vec<u8>,
}

/// The mounts of `bytes`, the content of a mountinfo file, in its order.
///
/// A line that does not parse is left out: it is of a format that this program does not know, and
/// says nothing about the others.
pub fn parse(bytes: &[u8]) -> Vec<Mount> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

/// The mount that a path lookup reaches at `mount_point`: the topmost where several are stacked.
pub fn topmost<'m>(mounts: &'m [Mount], mount_point: &Path) -> Option<&'m Mount> {
    let stacked = || {
        mounts
            .iter()
            .filter(|mount| mount.mount_point == mount_point)
    };
    // A mount made on top of another has it as its parent.
    let covered =
        |mount: &Mount| stacked().any(|other| other.parent == mount.id && other.id != mount.id);
    stacked().rfind(|mount| !covered(mount))
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = path(fields.next()?);
    let mount_point = path(fields.next()?);
    let mount_read_only = read_only(fields.next()?)?;
    // Any number of optional fields end with a single dash.
    fields.find(|field| *field == b"-")?;
    let fs_type = OsString::from_vec(unescape(fields.next()?));
    let source = OsString::from_vec(unescape(fields.next()?));
    let options = fields.next()?;
    let superblock_read_only = read_only(options)?;
    Some(Mount {
        id,
        parent,
        device,
        root,
        mount_point,
        mount_read_only,
        fs_type,
        source,
        superblock_read_only,
        options: options.to_owned(),
    })
}

/// The kernel writes the read-only flag first, before all other options.
fn read_only(options: &[u8]) -> Option<bool> {
    match options.split(|&byte| byte == b',').next()? {
        b"ro" => Some(true),
        b"rw" => Some(false),
        _ => None,
    }
}

fn device(field: &[u8]) -> Option<Device> {
    let colon = field.iter().position(|&byte| byte == b':')?;
    Some(Device {
        major: number(&field[..colon])?,
        minor: number(&field[colon + 1..])?,
    })
}

fn number<N: FromStr>(field: &[u8]) -> Option<N> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// `field` with each `\ooo`, three octal digits, turned into its byte, as in mountinfo and fstab.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match octal(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

fn octal(escape: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = escape.get(..4)? else {
        return None;
    };
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8)
        .ok()
        .filter(|_| digits[0].is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &[u8] = b"\
24 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1 rw,errors=remount-ro
31 24 259:2 / /usr ro,nodev,relatime shared:9 master:3 - ext4 /dev/nvme1n1 rw
32 24 0:30 /@home /a\\040b\\134c rw - btrfs /dev/sda\\0431 ro,space_cache
garbage
33 24 0:31
";

    #[test]
    fn tells_the_two_flags_apart() {
        let mounts = parse(PLAIN);
        let flags: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.mount_read_only, mount.superblock_read_only))
            .collect();
        assert_eq!(flags, [(false, false), (true, false), (false, true)]);
    }

    #[test]
    fn reads_every_field() {
        let mounts = parse(PLAIN);
        let expected = Mount {
            id: 32,
            parent: 24,
            device: Device {
                major: 0,
                minor: 30,
            },
            root: "/@home".into(),
            mount_point: "/a b\\c".into(),
            mount_read_only: false,
            fs_type: "btrfs".into(),
            source: "/dev/sda#1".into(),
            superblock_read_only: true,
            options: b"ro,space_cache".into(),
        };
        assert_eq!(mounts[2], expected);
    }

    #[test]
    fn a_stack_is_read_by_parents_not_by_order() {
        let stack = b"\
40 30 8:1 / /usr rw - ext4 a rw
30 24 8:2 / /usr rw - ext4 b rw
50 40 8:3 / /usr rw - ext4 c rw
60 24 8:4 / /usr/x rw - ext4 d rw
";
        let mounts = parse(stack);
        assert_eq!(
            topmost(&mounts, Path::new("/usr")).map(|mount| mount.id),
            Some(50)
        );
        assert_eq!(topmost(&mounts, Path::new("/nowhere")), None);
    }

    #[test]
    fn the_root_of_a_namespace_may_be_its_own_parent() {
        let mounts = parse(b"1 1 8:1 / / rw - ext4 a rw\n");
        assert_eq!(
            topmost(&mounts, Path::new("/")).map(|mount| mount.id),
            Some(1)
        );
    }

    #[test]
    fn only_three_octal_digits_are_an_escape() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"\\040", b" "),
            (b"\\04", b"\\04"),
            (b"\\+40", b"\\+40"),
            (b"\\777", b"\\777"),
            (b"\\\\040", b"\\ "),
            (b"a\\377", b"a\xff"),
        ];
        for (escaped, plain) in cases {
            assert_eq!(unescape(escaped), plain, "{}", escaped.escape_ascii());
        }
    }

    /// As seq_escape(m, s, " \t\n\\#") does in the kernel.
    fn kernel_escape(bytes: &[u8]) -> Vec<u8> {
        let escaped = |byte: &u8| match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
            plain => vec![*plain],
        };
        bytes.iter().flat_map(escaped).collect()
    }

    proptest! {
        #[test]
        fn any_path_survives_the_kernels_escapes(
            mount_point in proptest::collection::vec(1u8..=255, 1..40),
            source in proptest::collection::vec(1u8..=255, 1..40),
            read_only in any::<(bool, bool)>(),
        ) {
            let flag = |set| if set { "ro" } else { "rw" };
            let mut line = b"7 1 8:1 / ".to_vec();
            line.extend(kernel_escape(&mount_point));
            line.extend(format!(" {},noexec shared:1 - ext4 ", flag(read_only.0)).bytes());
            line.extend(kernel_escape(&source));
            line.extend(format!(" {}\n", flag(read_only.1)).bytes());

            let mounts = parse(&line);
            prop_assert_eq!(mounts.len(), 1);
            prop_assert_eq!(mounts[0].mount_point.as_os_str(), &OsString::from_vec(mount_point)[..]);
            prop_assert_eq!(&mounts[0].source, &OsString::from_vec(source));
            prop_assert_eq!((mounts[0].mount_read_only, mounts[0].superblock_read_only), read_only);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
            unescape(&bytes);
        }
    }
}
