//! What has to be so on each layout: files are replaced and removed while they are in use, /usr is
//! read-only at once, and they go with their last users.

use std::{fs, path::Path, time::Duration};

use rousr_tests::{
    Background, flags, holds, inode,
    package::{self, Packed},
    shell, status, succeed, wait, wait_for_agent,
};

/// A program that runs, and a file that is read.
const FILES: [&str; 2] = [
    "/usr/share/rousr-kinds/sleep",
    "/usr/share/rousr-kinds/table",
];

/// The whole filesystem becomes read-only.
pub(super) fn sealed() {
    story("sealed", ("ro", "ro"));
}

/// The mount does, the filesystem stays writable for others.
pub(super) fn mount_sealed() {
    story("mount-sealed", ("ro", "rw"));
}

fn story(level: &str, expected: (&str, &str)) {
    let is_closed = || {
        let (mount, superblock) = flags();
        (mount.as_str(), superblock.as_str()) == expected
    };
    #[track_caller]
    fn assert(is_closed: bool) {
        assert!(
            is_closed,
            "{:?}\n{}",
            flags(),
            shell("rousr status; journalctl -u rousr -o cat").output
        );
    }
    wait_for_agent();
    assert(is_closed());
    let [one, two] = ["1", "2"].map(build);

    package::install(&one);
    assert(is_closed());
    let old = FILES.map(inode);
    let users = use_them();
    let told = package::install(&two);
    assert!(
        told.contains("rousr: /usr is read-only again; 2 replaced files"),
        "{told}"
    );
    assert(is_closed());
    assert_ne!(FILES.map(inode), old);
    held(level, &old);
    let refused = shell("touch /usr/share/rousr-writer");
    assert!(
        refused.output.contains("Read-only file system"),
        "{}",
        refused.output
    );
    drop(users);
    reaped(is_closed);

    let old = FILES.map(inode);
    let users = use_them();
    succeed("apt-get -y -q purge rousr-kinds");
    assert(is_closed());
    assert!(!Path::new(package::FOLDER).exists());
    held(level, &old);
    drop(users);
    reaped(is_closed);

    succeed("rousr exec touch /usr/share/rousr-writer && rousr exec rm /usr/share/rousr-writer");
    assert(is_closed());
    let told = succeed("rousr blockers");
    assert!(told.contains("nothing blocks"), "{told}");
}

fn build(version: &str) -> std::path::PathBuf {
    let packed = |name: &str, content, mode| Packed {
        name: name.to_owned(),
        content,
        mode,
    };
    let program = fs::read("/usr/bin/sleep").expect("a program");
    let table = format!("version {version}").into_bytes();
    package::build(
        version,
        &[
            packed("sleep", program, 0o755),
            packed("table", table, 0o644),
        ],
    )
}

/// Until they are dropped.
fn use_them() -> [Background; 2] {
    let [program, table] = FILES;
    let users = [
        Background::start(&format!("{program} 1000")),
        Background::start(&format!("sh -c 'exec 9<{table}; exec sleep 1001'")),
    ];
    wait(Duration::from_secs(5), "both are in use", || {
        shell(&format!(
            "readlink /proc/*/exe | grep -qx {program} && readlink /proc/*/fd/9 | grep -qx {table}"
        ))
        .status
            == 0
    });
    users
}

/// Each is held, counted and told with who uses it.
#[track_caller]
fn held(level: &str, inodes: &[u64]) {
    let told = status();
    assert_eq!(
        (&told["level"], &told["wanted"]),
        (&level.into(), &level.into()),
        "{told:#}"
    );
    assert_eq!(told["agent"]["tracker"], "bpf", "{told:#}");
    let holds = told["holds"].as_array().expect("holds");
    for (&inode, path) in inodes.iter().zip(FILES) {
        let hold = holds.iter().find(|hold| hold["inode"] == inode);
        let hold = hold.unwrap_or_else(|| panic!("no hold {inode} in {told:#}"));
        assert_eq!(
            (&hold["path"], hold["package"].as_str()),
            (&path.into(), Some("rousr-kinds")),
            "{hold:#}"
        );
        assert!(hold["count"].as_u64() >= Some(1), "{hold:#}");
        assert_eq!(
            hold["holders"].as_array().map(Vec::len),
            Some(1),
            "{hold:#}"
        );
    }
    assert_eq!(holds.len(), inodes.len(), "{told:#}");
}

#[track_caller]
fn reaped(is_closed: impl Fn() -> bool) {
    wait(
        Duration::from_secs(2),
        "nothing is held and /usr is read-only",
        || holds().is_empty() && is_closed(),
    );
}
