//! The tracker on the running kernel, with shells that open and close what they are told.
//!
//! A kernel that allows no fanotify has to say so clearly; these tests then end there.

mod closes;
mod model;
mod own;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::time::timeout;

use super::group::{Group, Limits};
use super::{FanotifyTracker, Unavailable};
use crate::sys::lease::{HostLeases, Leases as _};
use crate::track::{News, Pin, Tracker as _};

/// Longer than any look is delayed, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// In which an event would have come. No look is to come where nothing was closed.
const MOMENT: Duration = Duration::from_millis(100);

/// A directory with files to watch.
struct Sandbox {
    directory: tempfile::TempDir,
    leases: HostLeases,
}

impl Sandbox {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            leases: HostLeases::new().expect("SIGIO can be ignored"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a file, and gives its path and its inode's number.
    fn file(&self, name: &str) -> (PathBuf, u64) {
        let path = self.path(name);
        fs::write(&path, "").expect("writes");
        let inode = inode(&path);
        (path, inode)
    }

    /// With a tracker as the agent makes it; `None` where this kernel does not allow it.
    fn tracked() -> Option<(Self, FanotifyTracker)> {
        let sandbox = Self::new();
        let tracker = FanotifyTracker::open(sandbox.directory.path(), "a test");
        Some((sandbox, allowed(tracker)?))
    }

    /// With a tracker to which this process is like any other.
    fn tracked_by_nobody() -> Option<(Self, FanotifyTracker)> {
        let nobody = 0;
        let tracker = Group::new(Limits::System)
            .map_err(Unavailable::Refused)
            .and_then(|group| FanotifyTracker::with(group, nobody, String::new()));
        Some((Self::new(), allowed(tracker)?))
    }

    /// Whether nobody has the file open, as the agent asks.
    fn is_free(&self, path: &Path) -> bool {
        let probe = File::open(path).expect("opens");
        self.leases.sole_opener(probe.as_fd()).expect("asks")
    }

    /// Does what the agent does until the file is free.
    async fn until_free(&self, tracker: &mut FanotifyTracker, path: &Path) {
        let inode = inode(path);
        let free = async {
            loop {
                let news = tracker.news().await;
                let told = news.releases.iter().any(|release| release.inode == inode);
                if told && self.is_free(path) {
                    break;
                }
            }
        };
        timeout(PATIENCE, free)
            .await
            .expect("the last close is told");
    }
}

fn allowed(tracker: Result<FanotifyTracker, Unavailable>) -> Option<FanotifyTracker> {
    match tracker {
        Ok(tracker) => Some(tracker),
        Err(error @ Unavailable::Refused(_)) => {
            assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
            eprintln!("{error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("exists").ino()
}

fn watch(tracker: &mut FanotifyTracker, paths: &[&Path]) {
    let pins: Vec<Pin> = paths.iter().map(|path| pin(path)).collect();
    tracker.watch(pins).expect("watches");
}

fn pin(path: &Path) -> Pin {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Pin {
        inode: inode(path),
        file: openat(CWD, path, flags, Mode::empty()).expect("pins"),
    }
}

/// What comes within `limit`, if anything does.
async fn news_within(tracker: &mut FanotifyTracker, limit: Duration) -> Option<News> {
    timeout(limit, tracker.news()).await.ok()
}

async fn assert_silent(tracker: &mut FanotifyTracker) {
    assert_eq!(news_within(tracker, MOMENT).await, None);
}

/// Another process, which opens and closes as it is told. It ends with its handle.
struct Puppet {
    shell: Child,
    answers: BufReader<ChildStdout>,
}

impl Puppet {
    fn new() -> Self {
        let mut shell = Command::new("sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let answers = BufReader::new(shell.stdout.take().expect("is a pipe"));
        Self { shell, answers }
    }

    fn open(&mut self, descriptor: u32, path: &Path) {
        self.run(&format!("exec {descriptor}<'{}'", path.display()));
    }

    fn dup(&mut self, from: u32, to: u32) {
        self.run(&format!("exec {to}<&{from}"));
    }

    fn close(&mut self, descriptor: u32) {
        self.run(&format!("exec {descriptor}<&-"));
    }

    /// Returns when the shell has done it.
    fn run(&mut self, command: &str) {
        let input = self.shell.stdin.as_mut().expect("is a pipe");
        writeln!(input, "{command}\necho done").expect("the shell lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("reads");
        assert_eq!(answer, "done\n", "{command}");
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
