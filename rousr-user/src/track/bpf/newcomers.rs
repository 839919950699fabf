//! What the kernel tells of a file that was opened.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use rousr_ebpf::Newcomer as Record;

use crate::track::Newcomer;

/// What a record says.
pub(super) fn told(record: &Record) -> Newcomer {
    Newcomer {
        inode: record.inode,
        path: path(record).map(Path::to_owned),
    }
}

/// An absolute one: a file out of reach of its process's root has no path.
fn path(record: &Record) -> Option<&Path> {
    let length = usize::try_from(record.length).ok()?;
    let bytes = record.path.get(..length)?.strip_suffix(b"\0")?;
    let path = Path::new(OsStr::from_bytes(bytes));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use rousr_ebpf::NEWCOMER_PATH;

    use super::*;

    fn record(path: &[u8], length: usize) -> Record {
        let mut bytes = [b'x'; NEWCOMER_PATH];
        bytes[..path.len()].copy_from_slice(path);
        Record {
            inode: 7,
            length: length.try_into().expect("short"),
            path: bytes,
        }
    }

    #[test]
    fn a_path_ends_where_the_kernel_says() {
        let longest = [[b'/'].as_slice(), &[b'l'; NEWCOMER_PATH - 2], b"\0"].concat();
        type Case<'a> = (&'a [u8], usize, Option<&'a [u8]>);
        let cases: [Case<'_>; 8] = [
            (b"/usr/a\0", 7, Some(b"/usr/a")),
            (b"/usr/\xff\0", 7, Some(b"/usr/\xff")),
            (&longest, NEWCOMER_PATH, Some(&longest[..NEWCOMER_PATH - 1])),
            (b"(unreachable)/usr/a\0", 20, None),
            (b"", 0, None),
            (b"\0", 1, None),
            (b"/usr/a", 6, None),
            (&longest, NEWCOMER_PATH + 1, None),
        ];
        for (bytes, length, expected) in cases {
            let expected = expected.map(|path| Path::new(OsStr::from_bytes(path)).to_owned());
            let told = told(&record(bytes, length));
            assert_eq!(
                (told.inode, told.path),
                (7, expected),
                "{}",
                bytes.escape_ascii()
            );
        }
    }
}
