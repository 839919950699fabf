//! What fstab(5) says about one mount point.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::sys::mountinfo::unescape;

/// What it says about a mount point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// The line that says so, from 1.
    pub line: usize,
}

/// How `fstab` mounts `mount_point`; `None` where it does not mention it.
///
/// The last line for a mount point counts, since it is mounted on top, and so does the last of
/// several `ro` and `rw` options.
pub fn entry(fstab: &[u8], mount_point: &Path) -> Option<Entry> {
    (1..)
        .zip(fstab.split(|&byte| byte == b'\n'))
        .filter_map(|(line, text)| {
            let read_only = read_only_line(text, mount_point)?;
            Some(Entry { read_only, line })
        })
        .last()
}

fn read_only_line(line: &[u8], mount_point: &Path) -> Option<bool> {
    let mut fields = line
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    let source = fields.next()?;
    if source.starts_with(b"#") {
        return None;
    }
    // Compared by components: a trailing slash makes no difference.
    if Path::new(OsStr::from_bytes(&unescape(fields.next()?))) != mount_point {
        return None;
    }
    let _fs_type = fields.next()?;
    // `defaults` says nothing, wherever it stands (`userspace_opts_map`, util-linux's libmount/src/optmap.c).
    let options = fields.next().unwrap_or(b"defaults");
    let flag = |option: &[u8]| match option {
        b"ro" => Some(true),
        b"rw" => Some(false),
        _ => None,
    };
    Some(
        options
            .split(|&byte| byte == b',')
            .filter_map(flag)
            .next_back()
            .unwrap_or(false),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_option_of_the_mount_point() {
        let read_only = |fstab, mount_point| Some(entry(fstab, mount_point)?.read_only);
        let cases: [(&[u8], Option<bool>); 12] = [
            (b"", None),
            (b"# UNCONFIGURED FSTAB FOR BASE SYSTEM\n", None),
            (b"#LABEL=usr /usr ext4 ro 0 2\n", None),
            (b"LABEL=usr /usr ext4 ro 0 2\n", Some(true)),
            (b"LABEL=usr\t/usr/\text4  nodev,ro,relatime", Some(true)),
            (b"LABEL=usr /usr ext4 ro,rw 0 2\n", Some(false)),
            (b"LABEL=usr /usr ext4 defaults,ro 0 2\n", Some(true)),
            (b"LABEL=usr /usr ext4 ro,defaults 0 2\n", Some(true)),
            (b"LABEL=usr /usr ext4 errors=remount-ro 0 2\n", Some(false)),
            (b"LABEL=usr /usr ext4\n", Some(false)),
            (b"LABEL=usr /usr\nLABEL=usr /usr/local ext4 ro\n", None),
            (b"a /usr ext4 rw\nb /usr ext4 ro\n", Some(true)),
        ];
        for (fstab, expected) in cases {
            assert_eq!(
                read_only(fstab, Path::new("/usr")),
                expected,
                "{}",
                fstab.escape_ascii()
            );
        }
    }

    #[test]
    fn mount_points_are_escaped_as_in_mountinfo() {
        assert_eq!(
            entry(b"# a\na /u\\040s\\134r ext4 ro", Path::new("/u s\\r")),
            Some(Entry {
                read_only: true,
                line: 2
            })
        );
    }

    proptest! {
        #[test]
        fn no_input_panics(fstab in proptest::collection::vec(any::<u8>(), 0..200)) {
            entry(&fstab, Path::new("/usr"));
        }
    }
}
