//! `/proc/PID/mountinfo`.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use rousr::sys::mountinfo::{Mount, parse, topmost, unescape};

/// For any bytes.
pub fn holds(input: &[u8]) {
    let mounts = parse(input);
    each_line_is_on_its_own(input, &mounts);
    what_the_kernel_writes_comes_back(&mounts);
    the_topmost_is_not_covered(&mounts);
    an_escape_is_undone(input);
}

fn each_line_is_on_its_own(input: &[u8], mounts: &[Mount]) {
    let mut rest = mounts.iter();
    for line in input.split(|&byte| byte == b'\n') {
        for mount in parse(line) {
            assert_eq!(rest.next(), Some(&mount));
            let fields = [
                mount.root.as_os_str(),
                mount.mount_point.as_os_str(),
                &mount.fs_type,
                &mount.source,
            ];
            let size = fields.map(|field| field.len()).iter().sum::<usize>() + mount.options.len();
            assert!(size < line.len());
        }
    }
    assert_eq!(rest.next(), None);
}

/// `show_mountinfo`, fs/proc_namespace.c.
fn what_the_kernel_writes_comes_back(mounts: &[Mount]) {
    let mut written = Vec::new();
    for mount in mounts {
        let flag = if mount.mount_read_only { "ro" } else { "rw" };
        written.extend(
            format!(
                "{} {} {}:{} ",
                mount.id, mount.parent, mount.device.major, mount.device.minor
            )
            .bytes(),
        );
        written.extend(escape(mount.root.as_os_str().as_bytes()));
        written.push(b' ');
        written.extend(escape(mount.mount_point.as_os_str().as_bytes()));
        written.extend(format!(" {flag},relatime shared:1 - ").bytes());
        written.extend(escape(mount.fs_type.as_bytes()));
        written.push(b' ');
        written.extend(escape(mount.source.as_bytes()));
        written.push(b' ');
        written.extend(&mount.options);
        written.push(b'\n');
    }
    assert_eq!(parse(&written), mounts, "{}", written.escape_ascii());
}

/// `seq_escape(m, s, " \t\n\\#")` in the kernel.
fn escape(bytes: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        plain => vec![*plain],
    };
    bytes.iter().flat_map(escaped).collect()
}

fn the_topmost_is_not_covered(mounts: &[Mount]) {
    assert_eq!(topmost(mounts, Path::new("no mount point")), None);
    for mount in mounts {
        let stacked = || {
            mounts
                .iter()
                .filter(|other| other.mount_point == mount.mount_point)
        };
        let covers =
            |upper: &Mount, lower: &Mount| upper.parent == lower.id && upper.id != lower.id;
        match topmost(mounts, &mount.mount_point) {
            Some(topmost) => {
                assert_eq!(topmost.mount_point, mount.mount_point);
                assert!(!stacked().any(|other| covers(other, topmost)));
            }
            // Only a circle, which the kernel never makes.
            None => assert!(stacked().all(|lower| stacked().any(|upper| covers(upper, lower)))),
        }
    }
}

fn an_escape_is_undone(input: &[u8]) {
    assert_eq!(unescape(&escape(input)), input);
    assert!(unescape(input).len() <= input.len());
}
