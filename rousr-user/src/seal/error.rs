//! Why a state could not be read or reached.

use std::{io, path::PathBuf};

use crate::sys::frozen::Frozen;

/// Why a state could not be read or reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is open for writing through the mount.
    #[error(
        "{}: something is writing there, so it stays writable (mount_setattr: EBUSY); `fuser -vm {}` names \
         what has it open (F: for writing): stop it, then seal again",
        .mount_point.display(), .mount_point.display()
    )]
    Writer {
        /// The mount that stays writable.
        mount_point: PathBuf,
    },
    /// Nothing can make it writable.
    #[error("{} can never be made writable: {frozen}", .mount_point.display())]
    Frozen {
        /// The mount.
        mount_point: PathBuf,
        /// Why.
        frozen: Frozen,
    },
    /// A call failed for another reason.
    #[error("{}: cannot {what} ({call}): {source}; {}", .mount_point.display(), next_step(.source))]
    Call {
        /// The mount it was about.
        mount_point: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// The system call that failed.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// A call failed, and so did the return to the state before.
    #[error("{error}. What was done before that stays, as this failed, too: {back}")]
    Stuck {
        /// What failed first.
        error: Box<Error>,
        /// What failed then.
        back: Box<Error>,
    },
}

fn next_step(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "run it as root (CAP_SYS_ADMIN), outside of containers",
        Some(libc::ENOENT) => "check that it is mounted (findmnt)",
        Some(libc::EINVAL) => "check that it is a mount of the host's mount namespace (findmnt)",
        Some(libc::ENOSYS) => "Linux 5.12 or newer is needed",
        Some(libc::EROFS) => {
            "the device is read-only, or the filesystem found an error on it: see dmesg"
        }
        Some(libc::EBUSY) => "look for what uses it (fuser -vm), then try again",
        _ => "see dmesg for the filesystem's reason",
    }
}
