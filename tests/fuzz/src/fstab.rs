//! fstab(5).

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use rousr::{
    seal::fstab::{Entry, entry},
    sys::mountinfo::unescape,
};

/// For any bytes, and any mount point that is named in them.
pub fn holds(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    the_last_line_counts(&lines, input, Path::new("/usr"));
    // Each mount point looks at each line.
    for line in lines.iter().take(16) {
        let mut fields = line
            .split(u8::is_ascii_whitespace)
            .filter(|field| !field.is_empty());
        if let Some(field) = fields.nth(1) {
            let mount_point = PathBuf::from(OsString::from_vec(unescape(field)));
            the_last_line_counts(&lines, input, &mount_point);
            one_more_line_overrules(input, &lines, &mount_point);
        }
    }
}

fn the_last_line_counts(lines: &[&[u8]], input: &[u8], mount_point: &Path) {
    let alone = |(text, line): (&[u8], usize)| {
        let Entry {
            read_only,
            line: first,
        } = entry(text, mount_point)?;
        assert_eq!(first, 1);
        Some(Entry { read_only, line })
    };
    let last = lines.iter().copied().zip(1..).filter_map(alone).last();
    assert_eq!(entry(input, mount_point), last);
}

fn one_more_line_overrules(input: &[u8], lines: &[&[u8]], mount_point: &Path) {
    let escaped: String = (mount_point.as_os_str().as_bytes().iter())
        .map(|byte| format!("\\{byte:03o}"))
        .collect();
    for (options, read_only) in [
        ("ro", true),
        ("defaults", false),
        ("ro,defaults", true),
        ("rw,nodev,ro", true),
        ("ro,x-a=ro,rw", false),
    ] {
        let more = format!("\nLABEL=more {escaped} ext4 {options} 0 2\n");
        let expected = Entry {
            read_only,
            line: lines.len() + 1,
        };
        assert_eq!(
            entry(&[input, more.as_bytes()].concat(), mount_point),
            Some(expected)
        );
    }
}
