//! The paths of what a process has mapped, from /proc/PID/maps.

use std::{
    collections::HashMap, ffi::OsString, fs, os::unix::ffi::OsStringExt as _, path::PathBuf,
};

/// Paths by the address where a mapping begins and the inode's number.
pub type Mapped = HashMap<(u64, u64), PathBuf>;

/// What a process has mapped; nothing where it has ended.
pub(super) fn read(pid: u32) -> Mapped {
    parse(&fs::read(format!("/proc/{pid}/maps")).unwrap_or_default())
}

/// The paths that `text`, the content of a maps file, names.
pub fn parse(text: &[u8]) -> Mapped {
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// `START-END PERMISSIONS OFFSET DEVICE INODE  PATH`, as in proc_pid_maps(5).
fn line(line: &[u8]) -> Option<((u64, u64), PathBuf)> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let start = fields.next()?.split(|&byte| byte == b'-').next()?;
    let inode = fields.nth(3)?;
    let path = fields.next()?.trim_ascii_start();
    let number = |text, radix| u64::from_str_radix(str::from_utf8(text).ok()?, radix).ok();
    let path = path.starts_with(b"/").then(|| unescape(path))?;
    Some(((number(start, 16)?, number(inode, 10)?), path))
}

/// The kernel writes a newline as `\012`, and nothing else so (`show_map_vma`, fs/proc/task_mmu.c).
fn unescape(path: &[u8]) -> PathBuf {
    const NEWLINE: &[u8] = br"\012";
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        match rest.strip_prefix(NEWLINE) {
            Some(after) => {
                plain.push(b'\n');
                rest = after;
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_found_by_start_and_inode() {
        let text = b"\
55d0c9a00000-55d0c9a05000 r--p 00000000 103:02 293                        /usr/bin/sleep
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 
7f0000002000-7f0000003000 r--p 00001000 103:02 17                         /usr/lib/a b\\012c (deleted)
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
torn";
        let expected = [
            ((0x55d0_c9a0_0000, 293), "/usr/bin/sleep"),
            ((0x7f00_0000_2000, 17), "/usr/lib/a b\nc (deleted)"),
        ];
        let expected = expected.map(|(key, path)| (key, PathBuf::from(path)));
        assert_eq!(parse(text), Mapped::from(expected));
    }

    #[test]
    fn this_program_is_mapped() {
        let program = std::env::current_exe().unwrap();
        let mapped = read(std::process::id());
        assert!(mapped.values().any(|path| *path == program));
        assert_eq!(read(u32::MAX), Mapped::new());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
