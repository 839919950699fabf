//! Kernel truth: whether anybody else has an inode open.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The call that asks whether an open file is its inode's only one.
pub trait Leases {
    /// Whether no other open file, mapping or running program has the inode of `fd` in use.
    ///
    /// `fd` is open O_RDONLY. Ask only about an inode that has no public name: whoever opens it
    /// during the question waits for its end, or gets EAGAIN where it does not wait.
    /// O_PATH descriptors are not seen.
    fn sole_opener(&self, fd: BorrowedFd<'_>) -> io::Result<bool>;
}

/// Leases of the running kernel. Needs CAP_LEASE for a file of another owner.
///
/// A write lease on an O_RDONLY file is granted only while the inode's counts of readers and
/// writers are the caller's own (`check_conflicting_open`).
/// <https://elixir.bootlin.com/linux/v6.12/source/fs/locks.c>
#[derive(Clone, Copy, Debug)]
pub struct HostLeases(());

impl HostLeases {
    /// Ignores SIGIO in this process, which the kernel sends to a lease's owner when somebody opens
    /// the inode, and which would end the process.
    ///
    /// Programs started from now on inherit that.
    pub fn new() -> io::Result<Self> {
        ignore_sigio()?;
        Ok(Self(()))
    }
}

impl Leases for HostLeases {
    fn sole_opener(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        match set_lease(fd, libc::F_WRLCK) {
            Ok(()) => {
                set_lease(fd, libc::F_UNLCK)?;
                Ok(true)
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the filesystem of `fd`, open O_RDONLY, knows leases: takes one for readers and gives it
/// back. Nobody who reads the file or runs it notices.
///
/// # Errors
///
/// EAGAIN: the file is open for writing, and another one has to be tried.
pub fn try_out(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_lease(fd, libc::F_RDLCK)?;
    set_lease(fd, libc::F_UNLCK)
}

fn set_lease(fd: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: `fd` is open, F_SETLEASE takes an integer, and no memory is shared with the kernel.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn ignore_sigio() -> io::Result<()> {
    // SAFETY: SIG_IGN is a valid disposition, and SIGIO has no handler in this program that it
    // could replace.
    let previous = unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    if previous == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsFd as _;

    fn leases() -> HostLeases {
        HostLeases::new().expect("SIGIO can be ignored")
    }

    #[test]
    fn one_open_file_is_the_sole_opener_and_two_are_not() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let probe = File::open(file.path()).expect("opens");
        let writer = file.as_file();
        assert!(
            !leases().sole_opener(probe.as_fd()).expect("asks"),
            "{writer:?} is open"
        );

        let path = file.into_temp_path();
        assert!(leases().sole_opener(probe.as_fd()).expect("asks"));

        let reader = File::open(&path).expect("opens");
        assert!(!leases().sole_opener(probe.as_fd()).expect("asks"));
        drop(reader);
        assert!(leases().sole_opener(probe.as_fd()).expect("asks"));
    }

    #[test]
    fn the_lease_is_released() {
        let file = tempfile::NamedTempFile::new()
            .expect("a temporary file")
            .into_temp_path();
        let probe = File::open(&file).expect("opens");
        assert!(leases().sole_opener(probe.as_fd()).expect("asks"));
        // Would block until /proc/sys/fs/lease-break-time were the lease still there.
        OpenOptions::new()
            .write(true)
            .open(&file)
            .expect("opens for writing");
    }

    #[test]
    fn a_filesystem_is_tried_out_beside_readers() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let reader = File::open(file.path()).expect("opens");
        let busy = try_out(reader.as_fd()).expect_err("is open for writing");
        assert_eq!(busy.raw_os_error(), Some(libc::EAGAIN));
        let path = file.into_temp_path();
        let other = File::open(&path).expect("opens");
        try_out(reader.as_fd()).expect("others may read");
        drop(other);
    }

    #[test]
    fn a_directory_has_no_lease() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = File::open(dir.path()).expect("opens");
        let error = leases()
            .sole_opener(dir.as_fd())
            .expect_err("no lease on a directory");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
