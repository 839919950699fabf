//! The lock that every frontend of dpkg holds for its whole transaction.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use crate::sys::{readiness::readable, record_lock};

/// Whether a frontend is at work. Only asks: taking the lock, for however short a time, could make
/// a frontend that starts just now give up.
///
/// Source: dpkg's `modstatdb_open` and apt's `GetLock`, which both take a POSIX write lock.
///
/// # Errors
///
/// Fails where the lock's file cannot be opened or asked about; a missing one is not locked.
pub fn is_locked(admin_dir: &Path) -> io::Result<bool> {
    let file = match File::open(lock_file(admin_dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    record_lock::is_held(&file)
}

/// Tells when a frontend may have let go of the lock, however it ended: the kernel releases a record
/// lock when a process closes the file (fcntl(2)), before it tells of the close (`filp_close`,
/// fs/open.c).
#[derive(Debug)]
pub struct Closes {
    inotify: AsyncFd<OwnedFd>,
}

impl Closes {
    /// Of the lock's file in dpkg's admin directory.
    ///
    /// # Errors
    ///
    /// Fails where the file is missing, which no transaction can be then, or inotify's limits are
    /// reached.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    pub fn of(admin_dir: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, lock_file(admin_dir), WatchFlags::CLOSE_WRITE)?;
        Ok(Self {
            inotify: readable(inotify)?,
        })
    }

    /// Waits for the next one.
    ///
    /// # Errors
    ///
    /// Fails where inotify cannot be read.
    pub async fn next(&mut self) -> io::Result<()> {
        /// Several at once: an event of a watched file has no name.
        const EVENTS: usize = 64 * size_of::<libc::inotify_event>();
        loop {
            let mut guard = self.inotify.readable().await?;
            let mut events = [0; EVENTS];
            if let Ok(read) = guard.try_io(|inotify| Ok(rustix::io::read(inotify, &mut events)?)) {
                return read.map(drop);
            }
        }
    }
}

fn lock_file(admin_dir: &Path) -> PathBuf {
    admin_dir.join("lock-frontend")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Command, Stdio},
        time::Duration,
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
        for end in [Frontend::end, Frontend::kill] {
            let mut frontend = Frontend::start(directory.path());
            let mut closes = Closes::of(directory.path()).expect("inotify");
            let early = tokio::time::timeout(Duration::from_millis(50), closes.next()).await;
            assert!(early.is_err(), "nothing was closed");
            end(&mut frontend);
            closes.next().await.expect("told");
            assert!(!is_locked(directory.path()).expect("a free lock"));
        }
    }

    #[tokio::test]
    async fn a_missing_lock_cannot_be_followed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let error = Closes::of(directory.path()).expect_err("no file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
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
                .arg(lock_file(admin_dir))
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
