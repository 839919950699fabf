//! Being asked before files are opened, by fanotify.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::fanotify::{
        EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags,
        Response,
    },
};
use rustix::fs::CWD;

/// Whoever opens a file of a directory waits for a permission.
///
/// When this goes, or the process, all who wait may go on (`fanotify_release` in
/// fs/notify/fanotify/fanotify_user.c).
#[derive(Debug)]
pub struct OpenPermissions(Fanotify);

impl OpenPermissions {
    /// Of this directory, and not of those in it.
    ///
    /// # Errors
    ///
    /// Fails where the kernel asks for no permissions, or this process may not give them.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let group = Fanotify::init(
            InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK,
            EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
        )?;
        let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_EVENT_ON_CHILD;
        group.mark(MarkFlags::FAN_MARK_ADD, mask, CWD, Some(directory))?;
        Ok(Self(group))
    }

    /// Whoever waits; `None` where nobody does.
    ///
    /// # Errors
    ///
    /// Fails where the kernel says no.
    pub fn asked(&self) -> io::Result<Option<Vec<Asked>>> {
        match self.0.read_events() {
            Ok(events) => Ok(Some(events.into_iter().map(Asked).collect())),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// Fails where it does not wait any more.
    pub fn allow(&self, asked: &Asked) -> io::Result<()> {
        let Some(file) = asked.0.fd() else {
            return Ok(());
        };
        let response = FanotifyResponse::new(file, Response::FAN_ALLOW);
        Ok(self.0.write_response(response)?)
    }
}

impl AsRawFd for OpenPermissions {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for OpenPermissions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file that somebody waits to open.
#[derive(Debug)]
pub struct Asked(FanotifyEvent);

impl Asked {
    /// Whether the file's name ends so.
    pub fn ends_with(&self, end: &[u8]) -> bool {
        let Some(file) = self.0.fd() else {
            return false;
        };
        let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        fs::read_link(link).is_ok_and(|path| path.as_os_str().as_bytes().ends_with(end))
    }
}
