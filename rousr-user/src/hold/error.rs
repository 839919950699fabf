//! What can be wrong with the store as a whole.

use std::io;
use std::path::{Path, PathBuf};

use super::store::DIRECTORY;
use crate::sys::links::Stat;

/// Why the hold directory cannot be used, or a hold not be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `.rousr` exists and is no directory of our own.
    #[error(
        "{} is {what}, not a directory of user {us} that nobody else may enter: nothing was touched; \
         find out where it comes from, move it away, then try again",
        .directory.display()
    )]
    NotOurs {
        /// Where the hold directory should be.
        directory: PathBuf,
        /// What it is instead.
        what: String,
        /// The user id that it has to belong to.
        us: u32,
    },
    /// A call on the hold directory failed.
    #[error("{}: cannot {what} the hold directory: {source}; {}", .directory.display(), next_step(.source))]
    Directory {
        /// The hold directory.
        directory: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// The call's error.
        source: io::Error,
    },
    /// A call on a hold failed.
    #[error("hold {inode}: cannot {what}: {source}; {}", next_step(.source))]
    Hold {
        /// The hold's inode number.
        inode: u64,
        /// What was to be done.
        what: &'static str,
        /// The call's error.
        source: io::Error,
    },
    /// A name of `.rousr` is an inode's number, but not that inode.
    #[error(
        "hold {inode}: what has its name is not this inode's file (it is inode {}): it was not touched; \
         move it out of the hold directory",
        .found.inode
    )]
    Stray {
        /// The number that it is named by.
        inode: u64,
        /// What is found there.
        found: Stat,
    },
}

impl Error {
    pub(super) fn not_ours(mount_point: &Path, what: String) -> Self {
        Self::NotOurs {
            directory: mount_point.join(DIRECTORY),
            what,
            us: us(),
        }
    }

    pub(super) fn directory(
        mount_point: &Path,
        what: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Directory {
            directory: mount_point.join(DIRECTORY),
            what,
            source,
        }
    }

    pub(super) fn hold(inode: u64, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Hold {
            inode,
            what,
            source,
        }
    }
}

/// The user who has to own the hold directory.
pub(super) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What to do about a failed call on a filesystem.
pub(super) fn next_step(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "run it as root; look for an immutable flag (lsattr)",
        Some(libc::EROFS) => "the filesystem is read-only: it has to be unsealed first",
        Some(libc::ENOSPC) => "the filesystem is full: make room, then try again",
        Some(libc::EDQUOT) => "the disk quota is used up: raise it, then try again",
        Some(libc::EINVAL | libc::EOPNOTSUPP) => "the filesystem does not know this call",
        _ => "see dmesg for the filesystem's reason",
    }
}
