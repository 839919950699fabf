//! The group that the kernel queues events for, and its marks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use rustix::fs::CWD;

use super::record::{self, Event};

/// What is read in one go: some two thousand events on ext4, so that a flood cannot starve the
/// agent's other work.
const BUFFER: usize = 128 << 10;

/// How much the kernel queues and marks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Limits {
    /// No bound; needs CAP_SYS_ADMIN.
    None,
    /// Those of /proc/sys/fs/fanotify. Without CAP_SYS_ADMIN since Linux 5.13.
    System,
}

/// Why an inode cannot be marked.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    #[error("no more marks are allowed; raise the sysctl fs.fanotify.max_user_marks")]
    Full,
    #[error("its filesystem has no file handles or no number of its own (fanotify_mark(2): {0})")]
    Filesystem(Errno),
    #[error(transparent)]
    Other(#[from] Errno),
}

/// A fanotify group whose events carry file handles.
///
/// nix reads events without their handles, so reading is our own.
#[derive(Debug)]
pub(super) struct Group(Fanotify);

impl Group {
    /// Events with a descriptor would make their reader one more opener of the file.
    pub(super) fn new(limits: Limits) -> Result<Self, Errno> {
        let mut flags = InitFlags::FAN_CLASS_NOTIF
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_NONBLOCK
            | InitFlags::from_bits_retain(libc::FAN_REPORT_FID);
        if limits == Limits::None {
            flags |= InitFlags::FAN_UNLIMITED_QUEUE | InitFlags::FAN_UNLIMITED_MARKS;
        }
        Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC).map(Self)
    }

    /// Marks the inode of an open file, which may be `O_PATH`: its closes are told from now on.
    pub(super) fn mark(&self, file: BorrowedFd<'_>) -> Result<(), MarkError> {
        self.change(MarkFlags::FAN_MARK_ADD, file)
            .map_err(|error| match error {
                Errno::ENOSPC => MarkError::Full,
                Errno::ENODEV | Errno::EOPNOTSUPP | Errno::EXDEV => MarkError::Filesystem(error),
                error => MarkError::Other(error),
            })
    }

    /// Removes the mark.
    pub(super) fn unmark(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        self.change(MarkFlags::FAN_MARK_REMOVE, file)
    }

    fn change(&self, change: MarkFlags, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let closes = MaskFlags::FAN_CLOSE_WRITE | MaskFlags::FAN_CLOSE_NOWRITE;
        // An O_PATH descriptor is refused, its link in /proc is not.
        let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        self.0.mark(change, closes, CWD, Some(&link))
    }

    /// Takes events out of the queue; EAGAIN where there is none.
    pub(super) fn read(&self) -> io::Result<Vec<Event>> {
        let mut buffer = vec![0; BUFFER];
        let length = rustix::io::read(&self.0, &mut buffer)?;
        record::parse(&buffer[..length])
            .map_err(|unknown| io::Error::new(io::ErrorKind::InvalidData, unknown))
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Group {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
