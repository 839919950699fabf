//! The kernel's truth before an unlink: the lease, and the references beyond it that a tracker
//! can see.

use std::{io, os::fd::BorrowedFd};

use rustix::fs::fstat;

use super::Tracker;
use crate::sys::lease::Leases;

/// Leases that also refuse an inode the kernel refers to in another way: by an `O_PATH` file, a
/// mount on it, a uprobe.
#[derive(Debug)]
pub struct Truth<'a, S, T> {
    leases: &'a S,
    tracker: &'a T,
}

impl<'a, S, T> Truth<'a, S, T> {
    /// Asks both.
    pub fn new(leases: &'a S, tracker: &'a T) -> Self {
        Self { leases, tracker }
    }
}

impl<S: Leases, T: Tracker> Leases for Truth<'_, S, T> {
    /// `fd` was opened just now: the tracker's knowledge dates from that opening.
    fn sole_opener(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        if !self.leases.sole_opener(fd)? {
            return Ok(false);
        }
        let inode = fstat(fd)?.st_ino;
        Ok(self.tracker.references(inode).unwrap_or(0) == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;
    use crate::track::{Health, News, Pin, TrackError};

    struct Granted(bool);

    impl Leases for Granted {
        fn sole_opener(&self, _fd: BorrowedFd<'_>) -> io::Result<bool> {
            Ok(self.0)
        }
    }

    struct Knows(Option<u64>);

    impl Tracker for Knows {
        fn watch(&mut self, _pins: Vec<Pin>) -> Result<(), TrackError> {
            Ok(())
        }

        fn unwatch(&mut self, _inode: u64) {}

        fn holders(&self, _inode: u64) -> Option<u64> {
            None
        }

        fn references(&self, _inode: u64) -> Option<u64> {
            self.0
        }

        async fn news(&mut self) -> News {
            News::default()
        }

        fn health(&self) -> Health {
            Health::default()
        }
    }

    #[test]
    fn both_have_to_agree() {
        let file = File::open("/dev/null").expect("opens");
        for (lease, references, sole) in [
            (true, None, true),
            (true, Some(0), true),
            (true, Some(1), false),
            (false, Some(0), false),
            (false, None, false),
        ] {
            let (leases, tracker) = (Granted(lease), Knows(references));
            let truth = Truth::new(&leases, &tracker);
            assert_eq!(
                truth.sole_opener(file.as_fd()).expect("asks"),
                sole,
                "{lease} {references:?}"
            );
        }
    }
}
