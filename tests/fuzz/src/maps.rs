//! `/proc/PID/maps`.

use std::{collections::HashMap, os::unix::ffi::OsStrExt as _};

use rousr::track::maps::{Mapped, parse};

/// For any bytes.
pub fn holds(input: &[u8]) {
    let mapped = parse(input);
    each_line_is_on_its_own(input, &mapped);
    what_the_kernel_writes_comes_back(&mapped);
}

fn each_line_is_on_its_own(input: &[u8], mapped: &Mapped) {
    let mut expected = HashMap::new();
    for line in input.split(|&byte| byte == b'\n') {
        let one = parse(line);
        assert!(one.len() <= 1);
        for path in one.values() {
            assert!(path.is_absolute());
            assert!(path.as_os_str().len() < line.len());
        }
        expected.extend(one);
    }
    assert_eq!(*mapped, expected);
}

/// `show_map_vma`, fs/proc/task_mmu.c.
fn what_the_kernel_writes_comes_back(mapped: &Mapped) {
    let mut written = Vec::new();
    for ((start, inode), path) in mapped {
        let end = start.saturating_add(4096);
        let fields = format!("{start:08x}-{end:08x} r--p 00001000 103:02 {inode} ");
        written.extend(format!("{fields:<73}").bytes());
        for &byte in path.as_os_str().as_bytes() {
            match byte {
                b'\n' => written.extend(br"\012"),
                byte => written.push(byte),
            }
        }
        written.push(b'\n');
    }
    assert_eq!(parse(&written), *mapped, "{}", written.escape_ascii());
}
