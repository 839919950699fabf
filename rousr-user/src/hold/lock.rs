//! One writer at a time: the agent and the hooks share a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::sys::step::step;

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has it.
    #[error(
        "{}: {} has it; wait for it to end, then try again",
        .path.display(), holder(*.pid)
    )]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// The process that has it, as it wrote there.
        pid: Option<u32>,
    },
    /// A call on its file failed.
    #[error("{}: cannot lock it: {source}; check that its directory exists and can be written", .path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// The call's error.
        source: io::Error,
    },
}

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock at `path` if it is free.
    pub fn try_acquire(path: &Path) -> Result<Self, Error> {
        let mut file = open(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let mut lock = Self { file };
                step("sign the lock");
                lock.sign().map_err(|source| Error::Io {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(lock)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Held {
                path: path.to_owned(),
                pid: read_pid(&mut file),
            }),
            Err(error) => Err(Error::Io {
                path: path.to_owned(),
                source: error.into(),
            }),
        }
    }

    /// Takes the lock at `path`, and waits for it for no longer than `timeout`.
    ///
    /// flock(2) knows no timeout, and a signal to interrupt it is no business of a library: it asks
    /// again, at growing intervals.
    pub fn acquire_timeout(path: &Path, timeout: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(1);
        loop {
            match Self::try_acquire(path) {
                Err(Error::Held { .. }) if Instant::now() < deadline => {
                    thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
                    pause = (pause * 2).min(Duration::from_millis(100));
                }
                other => return other,
            }
        }
    }

    /// Writes our pid, for whoever waits.
    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

/// One that this process took before it executed itself anew: flock(2) locks an open file, whoever has it.
impl From<OwnedFd> for Lock {
    fn from(locked: OwnedFd) -> Self {
        Self {
            file: locked.into(),
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A stale pid misleads, but the lock itself goes with the file: not worth an error.
        let _ = self.file.set_len(0);
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // Children do not inherit it: std opens with O_CLOEXEC.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("run/lock");
        (dir, path)
    }

    #[test]
    fn one_at_a_time_and_the_error_says_who() {
        let (_dir, path) = path();
        let lock = Lock::try_acquire(&path).expect("is free");
        let error = Lock::try_acquire(&path).expect_err("is held");
        assert!(
            matches!(error, Error::Held { pid: Some(pid), .. } if pid == std::process::id()),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        Lock::try_acquire(&path).expect("is free again");
    }

    #[test]
    fn waits_for_the_holder_but_not_forever() {
        let (_dir, path) = path();
        let lock = Lock::try_acquire(&path).expect("is free");
        let begin = Instant::now();
        let error = Lock::acquire_timeout(&path, Duration::from_millis(30)).expect_err("is held");
        assert!(matches!(error, Error::Held { .. }), "{error}");
        assert!(begin.elapsed() >= Duration::from_millis(30));

        let waiting = thread::spawn({
            let path = path.clone();
            move || Lock::acquire_timeout(&path, Duration::from_secs(60)).is_ok()
        });
        thread::sleep(Duration::from_millis(20));
        drop(lock);
        assert!(waiting.join().expect("does not panic"));
    }

    #[test]
    fn a_symlink_is_no_lock() {
        let (dir, _) = path();
        let link = dir.path().join("lock");
        std::os::unix::fs::symlink("target", &link).expect("links");
        let error = Lock::try_acquire(&link).expect_err("refused");
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(!dir.path().join("target").exists());
    }
}
