//! The lock that every frontend of dpkg holds for its whole transaction.

use std::{fs::File, io, path::Path};

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

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
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
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("lock-frontend");
        std::fs::write(&path, "").expect("written");
        // perl is in every Debian system (perl-base is essential).
        let script = "use Fcntl; open F, '+<', $ARGV[0] or die; \
                      my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; \
                      $| = 1; print \"locked\\n\"; <STDIN>";
        let mut holder = Command::new("perl")
            .args(["-e", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("perl runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "locked\n");
        assert!(is_locked(directory.path()).expect("a held lock"));
        drop(holder.stdin.take());
        assert!(holder.wait().expect("perl ends").success());
        assert!(!is_locked(directory.path()).expect("a free lock"));
    }
}
