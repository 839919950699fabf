//! The locks that tell whether a frontend of dpkg is at work.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::sys::record_lock;

/// A frontend's, for its whole transaction, and dpkg's own: a dpkg whose frontend has been killed goes on.
const LOCKS: [&str; 2] = ["lock-frontend", "lock"];

/// Whether a frontend, or what is left of one, is at work. Only asks: taking a lock, for however short a
/// time, could make a frontend that starts just now give up.
///
/// Source: dpkg's `modstatdb_open` and apt's `GetLock`, which both take a POSIX write lock.
///
/// # Errors
///
/// Fails where a lock's file cannot be opened or asked about; a missing one is not locked.
pub fn is_locked(admin_dir: &Path) -> io::Result<bool> {
    for lock in LOCKS {
        if is_held(&admin_dir.join(lock))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_held(lock: &Path) -> io::Result<bool> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    record_lock::is_held(&file)
}

/// Waits until no frontend has the lock, however the one that had it ended.
///
/// It asks once a second. An inotify watch would tell at once, but from the first one on the kernel
/// makes each open and close on that filesystem dearer, for good (`fsnotify_sb_has_watchers`,
/// include/linux/fsnotify.h); and to wait for the lock itself means to have it for a moment.
#[derive(Debug)]
pub struct Release {
    admin_dir: PathBuf,
}

impl Release {
    /// Of the lock in dpkg's admin directory.
    pub fn of(admin_dir: &Path) -> Self {
        Self {
            admin_dir: admin_dir.to_owned(),
        }
    }

    /// Waits until the lock is free; the first look is at once. Can be dropped and called again.
    pub async fn wait(&self) {
        const PAUSE: Duration = Duration::from_secs(1);
        while is_locked(&self.admin_dir).unwrap_or(true) {
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

    /// However long a transaction takes: nothing but its frontend's end is its end.
    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_held_for_days_is_held() {
        let directory = admin_dir();
        let _frontend = Frontend::start(directory.path());
        let release = Release::of(directory.path());
        let days = Duration::from_secs(3 * 86400);
        let early = tokio::time::timeout(days, release.wait()).await;
        assert!(early.is_err(), "somebody has it");
    }

    #[test]
    fn a_dpkg_that_has_lost_its_frontend_is_at_work() {
        let directory = admin_dir();
        std::fs::rename(
            directory.path().join("lock-frontend"),
            directory.path().join("lock"),
        )
        .expect("renamed");
        let _dpkg = Frontend::lock(&directory.path().join("lock"));
        assert!(is_locked(directory.path()).expect("a held lock"));
    }

    #[tokio::test]
    async fn is_told_when_the_lock_is_free_however_its_holder_ended() {
        let directory = admin_dir();
        let moment = Duration::from_millis(50);
        for end in [Frontend::end, Frontend::kill] {
            let release = Release::of(directory.path());
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
            Self::lock(&admin_dir.join("lock-frontend"))
        }

        fn lock(lock: &Path) -> Self {
            // perl is in every Debian system (perl-base is essential).
            let script = "use Fcntl; open F, '+<', $ARGV[0] or die; \
                          my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; \
                          $| = 1; print \"locked\\n\"; <STDIN>";
            let mut child = Command::new("perl")
                .args(["-e", script])
                .arg(lock)
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

    impl Drop for Frontend {
        fn drop(&mut self) {
            // It may have ended before.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
