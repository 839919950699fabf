//! What has to be so on each layout: files are replaced and removed while they are in use, /usr is
//! read-only at once, and they go with their last users.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use rousr_tests::{
    Background, flags, flags_of, holds, holds_of, inode, metric,
    package::{self, Packed},
    shell, status, succeed, wait, wait_for_agent,
};

/// A program that runs, and a file that is read.
pub(super) const FILES: [&str; 2] = [
    "/usr/share/rousr-kinds/sleep",
    "/usr/share/rousr-kinds/table",
];

/// The whole filesystem becomes read-only.
pub(super) fn sealed() {
    Story::new("sealed", ("ro", "ro")).play();
}

/// The whole filesystem does, of a mount below /usr, and it holds what is replaced on it.
pub(super) fn sealed_beside(mount_point: &'static str) {
    let story = Story::new("sealed", ("ro", "ro"));
    Story {
        mount_point: Some(mount_point),
        ..story
    }
    .play();
}

/// The whole filesystem does, and what a program runs is a file of its layers: the hold is kept by the
/// kernel's references to the overlay's inode, which no count has.
pub(super) fn sealed_overlay() {
    Story {
        counts_programs: false,
        ..Story::new("sealed", ("ro", "ro"))
    }
    .play();
}

/// The mount does, the filesystem stays writable for others.
pub(super) fn mount_sealed() {
    Story::new("mount-sealed", ("ro", "rw")).play();
}

#[derive(Clone, Copy)]
struct Story {
    level: &'static str,
    /// The flags of mount and superblock.
    flags: (&'static str, &'static str),
    /// Where the files' filesystem is mounted; none where it is the one that holds /usr.
    mount_point: Option<&'static str>,
    /// Whether a mapping is an open file of the inode that is held.
    counts_programs: bool,
}

impl Story {
    fn new(level: &'static str, flags: (&'static str, &'static str)) -> Self {
        Self {
            level,
            flags,
            mount_point: None,
            counts_programs: true,
        }
    }

    fn play(self) {
        wait_for_agent();
        self.assert_closed();
        let [one, two] = ["1", "2"].map(build);

        package::install(&one);
        self.assert_closed();
        let old = FILES.map(inode);
        let users = use_them();
        let told = package::install(&two);
        assert!(
            told.contains("rousr: /usr is read-only again; 2 replaced files"),
            "{told}"
        );
        self.assert_closed();
        assert_ne!(FILES.map(inode), old);
        self.assert_held(&old);
        let refused = shell("touch /usr/share/rousr-writer");
        assert!(
            refused.output.contains("Read-only file system"),
            "{}",
            refused.output
        );
        self.wait_for_reap(users);

        let old = FILES.map(inode);
        let users = use_them();
        succeed("apt-get -y -q purge rousr-kinds");
        self.assert_closed();
        assert!(!Path::new(package::FOLDER).exists());
        self.assert_held(&old);
        self.wait_for_reap(users);

        succeed("rousr exec touch /usr/share/rousr-writer");
        self.assert_closed();
        succeed("rousr exec rm /usr/share/rousr-writer");
        let told = succeed("rousr blockers");
        assert!(told.contains("nothing blocks"), "{told}");
    }

    fn is_closed(self) -> bool {
        let (mount, superblock) = self.flags_now();
        (mount.as_str(), superblock.as_str()) == self.flags
    }

    fn flags_now(self) -> (String, String) {
        self.mount_point.map_or_else(flags, |mount_point| {
            flags_of(mount_point).expect("is mounted")
        })
    }

    #[track_caller]
    fn assert_closed(self) {
        if !self.is_closed() {
            let told = shell("rousr status; journalctl -u rousr -o cat --no-pager").output;
            panic!("{:?}\n{told}", self.flags_now());
        }
    }

    fn holds(self) -> BTreeSet<u64> {
        self.mount_point.map_or_else(holds, holds_of)
    }

    /// Each is held, counted and told with who uses it.
    #[track_caller]
    fn assert_held(self, inodes: &[u64]) {
        let all = status();
        let told = match self.mount_point {
            Some(mount_point) => {
                let others = all["beside"].as_array().expect("others").iter();
                let is_it = |other: &&serde_json::Value| other["mountPoint"] == mount_point;
                others.clone().find(is_it).expect("is told")
            }
            None => &all,
        };
        let level = &self.level.into();
        assert_eq!((&told["level"], &told["wanted"]), (level, level), "{all:#}");
        assert_eq!(told["agent"]["tracker"], "bpf", "{all:#}");
        let holds = told["holds"].as_array().expect("holds");
        for (&inode, path) in inodes.iter().zip(FILES) {
            let hold = holds.iter().find(|hold| hold["inode"] == inode);
            let hold = hold.unwrap_or_else(|| panic!("no hold {inode} in {all:#}"));
            let origin = (&hold["path"], hold["package"].as_str());
            assert_eq!(origin, (&path.into(), Some("rousr-kinds")), "{hold:#}");
            let counted = u64::from(self.counts_programs || path != FILES[0]);
            assert!(hold["count"].as_u64() >= Some(counted), "{hold:#}");
            assert_eq!(
                hold["holders"].as_array().map(Vec::len),
                Some(1),
                "{hold:#}"
            );
        }
        assert_eq!(holds.len(), inodes.len(), "{all:#}");
    }

    /// What is held goes with the last users. Of what no count has no event tells either: it is looked at
    /// again, after pauses that grow.
    #[track_caller]
    fn wait_for_reap(self, users: [Background; 2]) {
        let told = || metric("rousr_reap_latency_seconds_count");
        let before = told();
        drop(users);
        wait(
            Duration::from_secs(90),
            "nothing is held and it is read-only",
            || self.holds().is_empty() && self.is_closed(),
        );
        // The figures are of the volume that holds /usr.
        if self.mount_point.is_none() {
            assert!(told() > before, "an event told of a last close");
        }
    }
}

pub(super) fn build(version: &str) -> std::path::PathBuf {
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
pub(super) fn use_them() -> [Background; 2] {
    let [program, table] = FILES;
    let users = [
        Background::start(&format!("{program} 1000")),
        Background::start(&format!("sh -c 'exec 9<{table}; exec sleep 1001'")),
    ];
    wait(Duration::from_secs(60), "both are in use", || {
        shell(&format!(
            "readlink /proc/*/exe | grep -qx {program} && readlink /proc/*/fd/9 | grep -qx {table}"
        ))
        .status
            == 0
    });
    users
}
