//! The lock that every frontend of dpkg holds for its whole transaction.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::sys::record_lock;

/// Whether a frontend is at work. Only asks: taking the lock, for however short a time, could make
/// a frontend that starts just now give up.
///
/// Source: dpkg's `modstatdb_open` and apt's `GetLock`, which both take a POSIX write lock.
///
/// # Errors
///
/// Fails where the lock's file cannot be opened or asked about; a missing one is not locked.
pub fn is_locked(admin_dir: &Path) -> io::Result<bool> {
    let file = match File::open(admin_dir.join("lock-frontend")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    record_lock::is_held(&file)
}

/// Waits for a frontend to let go of the lock, however it ends.
///
/// It asks once a second. An inotify watch would tell at once, but from the first one on the kernel
/// makes each open and close on that filesystem dearer, for good (`fsnotify_sb_has_watchers`,
/// include/linux/fsnotify.h); and to wait for the lock itself means to have it for a moment.
#[derive(Debug)]
pub struct Release {
    admin_dir: PathBuf,
    /// Hooks that are called by hand hold no lock.
    was_locked: bool,
}

impl Release {
    /// Of the lock in dpkg's admin directory.
    pub fn of(admin_dir: &Path) -> Self {
        Self {
            admin_dir: admin_dir.to_owned(),
            was_locked: false,
        }
    }

    /// Waits until the lock is free that was held at an earlier look; the first one is at once. Can be
    /// dropped and called again.
    pub async fn wait(&mut self) {
        const PAUSE: Duration = Duration::from_secs(1);
        loop {
            match is_locked(&self.admin_dir) {
                Ok(true) => self.was_locked = true,
                Ok(false) if self.was_locked => return,
                Ok(false) | Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_missing_or_free_lock_is_not_locked() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(!is_locked(directory.path()).expect("no lock"));
        std::fs::write(directory.path().join("lock-frontend"), "").expect("written");
        assert!(!is_locked(directory.path()).expect("a free lock"));
    }

    #[test]
    fn sees_the_lock_of_another_process() {
        let directory = admin_dir();
        let mut frontend = Frontend::start(directory.path());
        assert!(is_locked(directory.path()).expect("a held lock"));
        frontend.end();
        assert!(!is_locked(directory.path()).expect("a free lock"));
    }

    #[tokio::test]
    async fn is_told_when_the_lock_is_free_however_its_holder_ended() {
        let directory = admin_dir();
        let moment = Duration::from_millis(50);
        for end in [Frontend::end, Frontend::kill] {
            let mut release = Release::of(directory.path());
            let early = tokio::time::timeout(moment, release.wait()).await;
            assert!(early.is_err(), "nobody had it");
            let mut frontend = Frontend::start(directory.path());
            let early = tokio::time::timeout(moment, release.wait()).await;
            assert!(early.is_err(), "somebody has it");
            end(&mut frontend);
            let told = tokio::time::timeout(Duration::from_secs(10), release.wait()).await;
            told.expect("told");
        }
    }

    fn admin_dir() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("lock-frontend"), "").expect("written");
        directory
    }

    /// A process that holds the lock.
    struct Frontend(Child);

    impl Frontend {
        fn start(admin_dir: &Path) -> Self {
            // perl is in every Debian system (perl-base is essential).
            let script = "use Fcntl; open F, '+<', $ARGV[0] or die; \
                          my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; \
                          $| = 1; print \"locked\\n\"; <STDIN>";
            let mut child = Command::new("perl")
                .args(["-e", script])
                .arg(admin_dir.join("lock-frontend"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("perl runs");
            let mut line = String::new();
            BufReader::new(child.stdout.take().expect("a pipe"))
                .read_line(&mut line)
                .expect("a line");
            assert_eq!(line, "locked\n");
            Self(child)
        }

        fn end(&mut self) {
            drop(self.0.stdin.take());
            assert!(self.0.wait().expect("perl ends").success());
        }

        fn kill(&mut self) {
            self.0.kill().expect("killed");
            self.0.wait().expect("perl ends");
        }
    }
}
