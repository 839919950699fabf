//! The whole way on the running kernel's ext4 without BPF: an upgrade, a seal with the old file in
//! use, its last close, and the reap in a window.
//!
//! Where mounting or fanotify is not allowed, the test says so and ends.

#[path = "support/holder.rs"]
mod holder;

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rousr::dpkg::admin_dir::AdminDir;
use rousr::seal::{Level, Volume};
use rousr::sys::lease::HostLeases;
use rousr::sys::links::HostLinks;
use rousr::sys::mount::{HostMounts, read_mountinfo};
use rousr::track::Tracker as _;
use rousr::track::fanotify::FanotifyTracker;
use rousr::transaction::{HostKeeper, Keeper, Places, Reaping};

use holder::holder_of;

const INSIDE: &str = "ROUSR_TEST_MOUNT_NAMESPACE";
const STREAM: &[u8] = b"VERSION 3\nDir=/\n\ndemo 1 amd64 none < 2 amd64 none /demo_2_amd64.deb\n";
const FILES: usize = 3;

#[test]
fn the_last_close_reaps_and_leaves_it_sealed() {
    if env::var_os(INSIDE).is_none() {
        return in_mount_namespace("the_last_close_reaps_and_leaves_it_sealed");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(upgrade_and_reap());
}

async fn upgrade_and_reap() {
    let machine = Machine::new();
    let keeper = machine.keeper();
    let mount_point = &keeper.volume().mount_point;
    let mut tracker = match FanotifyTracker::open(mount_point, "a test") {
        Ok(tracker) => tracker,
        Err(error) => return eprintln!("{error}"),
    };
    let mut holders: Vec<(u64, Child)> = machine
        .files()
        .iter()
        .map(|file| (inode(file), holder_of(file)))
        .collect();

    keeper.begin().expect("begins");
    keeper.preserve(STREAM).expect("preserves");
    machine.files().iter().for_each(|file| replace(file));
    let finished = keeper.finish(&mut tracker).expect("finishes");
    assert_eq!(
        (finished.level, finished.kept),
        (Level::Sealed, FILES as u64),
        "{:?}",
        finished.warnings
    );

    while let Some((inode, mut holder)) = holders.pop() {
        drop(holder.stdin.take());
        holder.wait().expect("ends");
        let reaping = tokio::time::timeout(Duration::from_secs(20), reap(&keeper, &mut tracker));
        let reaping = reaping.await.expect("the last close is told");
        let reaped: Vec<u64> = reaping.reaped.iter().map(|hold| hold.inode).collect();
        // The mark must not keep the inode: that would be an orphan, and block the seal.
        assert_eq!(
            (reaped, reaping.level),
            (vec![inode], Some(Level::Sealed)),
            "{:?}",
            reaping.errors
        );
        assert_eq!(keeper.holds().expect("lists").holds.len(), holders.len());
    }
    assert!(!tracker.health().attached);
}

/// What the agent does until something is reaped.
async fn reap(keeper: &HostKeeper, tracker: &mut FanotifyTracker) -> Reaping {
    loop {
        let news = tracker.news().await;
        let inodes = news.releases.iter().map(|release| release.inode);
        let reaping = keeper.reap(tracker, inodes).expect("looks");
        if !reaping.reaped.is_empty() {
            return reaping;
        }
    }
}

/// An ext4 that plays /usr, with one package.
struct Machine {
    directory: tempfile::TempDir,
    usr: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let top = directory.path().canonicalize().expect("exists");
        let usr = top.join("usr");
        let image = top.join("image");
        File::create(&image)
            .and_then(|file| file.set_len(16 << 20))
            .expect("creates");
        fs::create_dir(&usr).expect("creates");
        run(
            "mke2fs",
            ["-q", "-F", "-t", "ext4"].map(OsStr::new),
            &[&image],
        );
        run("mount", ["-o", "loop"].map(OsStr::new), &[&image, &usr]);
        let machine = Self { directory, usr };

        let fstab = format!("LABEL=usr {} ext4 ro 0 2\n", machine.usr.display());
        fs::write(top.join("fstab"), fstab).expect("writes");
        fs::create_dir_all(top.join("dpkg/info")).expect("makes the database");
        let list: String = machine
            .files()
            .iter()
            .map(|file| format!("{}\n", file.display()))
            .collect();
        fs::write(top.join("dpkg/info/demo.list"), list).expect("writes");
        for file in machine.files() {
            fs::write(file, "old").expect("writes");
        }
        machine
    }

    fn files(&self) -> Vec<PathBuf> {
        (0..FILES)
            .map(|number| self.usr.join(format!("library-{number}.so")))
            .collect()
    }

    fn keeper(&self) -> HostKeeper {
        let mountinfo = read_mountinfo().expect("reads");
        let volume = Volume::containing(&self.usr, &mountinfo).expect("is mounted");
        let top = self.directory.path();
        let places = Places {
            config: "/nowhere/rousr.conf".into(),
            fstab: top.join("fstab"),
            ledger: top.join("ledger"),
            history: top.join("history"),
            beside: None,
            disabled: top.join("disabled"),
            lock: top.join("run/lock"),
            openings: top.join("run/open"),
            dpkg: AdminDir::new(top.join("dpkg")),
        };
        let leases = HostLeases::new().expect("SIGIO can be ignored");
        Keeper::new(volume, HostMounts, HostLinks, leases, places)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Files may still be open where the test failed; the namespace ends anyway.
        let _ = Command::new("umount").arg("--lazy").arg(&self.usr).status();
    }
}

/// Runs the test once more, in a process whose mounts end with it: a test's thread is one of many,
/// and mount namespaces belong to threads.
fn in_mount_namespace(test: &str) {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("{test}: skipped, mounting needs root");
    }
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(env::current_exe().expect("has a path"))
        .args(["--exact", "--nocapture", test])
        .env(INSIDE, "1")
        .status();
    assert!(status.expect("unshare(1) runs").success());
}

fn run<const N: usize>(program: &str, options: [&OsStr; N], paths: &[&Path]) {
    let status = Command::new(program).args(options).args(paths).status();
    assert!(status.expect(program).success(), "{program}");
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("exists").ino()
}

/// Puts a new inode in the place of a file, as dpkg does.
fn replace(path: &Path) {
    let new = path.with_extension("dpkg-new");
    fs::write(&new, "new").expect("writes");
    fs::rename(new, path).expect("renames");
}
