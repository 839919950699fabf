//! The moves between the levels.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::Level;
use super::window::Window;
use crate::sys::mount::{MountState, Mounts};

/// Why a level could not be read or reached.
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
}

/// The read-only state of one mounted filesystem, and the moves between its levels.
///
/// It keeps no state of its own: each move starts from the kernel's.
#[derive(Clone, Debug)]
pub struct Seal<M> {
    mounts: M,
    mount_point: PathBuf,
}

impl<M: Mounts> Seal<M> {
    /// For the filesystem that is visible at `mount_point`.
    pub fn new(mounts: M, mount_point: impl Into<PathBuf>) -> Self {
        Self {
            mounts,
            mount_point: mount_point.into(),
        }
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// The flags as they are.
    pub fn state(&self) -> Result<MountState, Error> {
        self.state_of(&self.open()?)
    }

    /// The level as it is.
    pub fn level(&self) -> Result<Level, Error> {
        self.state().map(Level::of)
    }

    /// The visible mount, to hand its root directory to the hold store.
    pub fn open(&self) -> Result<M::Mount, Error> {
        self.mounts
            .open(&self.mount_point)
            .map_err(self.failed("open the mount point", "openat"))
    }

    /// Makes it writable: the superblock first, so that no writer meets a mount that lies.
    pub fn unseal(&self) -> Result<(), Error> {
        let mount = self.open()?;
        let state = self.state_of(&mount)?;
        if state.superblock_read_only {
            self.open_superblock(&mount)?;
        }
        if state.mount_read_only {
            self.mounts
                .set_mount_read_only(&mount, false)
                .map_err(self.failed("make the mount writable", "mount_setattr"))?;
        }
        Ok(())
    }

    /// Makes it read-only as far as possible, and says how far that is.
    ///
    /// The mount comes first and is sealed at once. A blocker (an inode without a name that is in
    /// use, a writer through another mount) keeps the superblock from it: no error, but
    /// [`Level::MountSealed`]. So does another writable mount of the same superblock.
    pub fn seal(&self) -> Result<Level, Error> {
        let mount = self.open()?;
        let state = self.state_of(&mount)?;
        self.seal_mount(&mount, state)?;
        if state.superblock_read_only {
            return Ok(Level::Sealed);
        }
        self.seal_superblock(&mount, state)
    }

    /// Runs `action` with a root directory through which it can write, while the visible mount
    /// stays as it is, and seals again as far as possible.
    ///
    /// The outer error means that `action` did not run; the inner one that the superblock may have
    /// stayed writable after it. Should `action` panic, the window closes all the same.
    pub fn window<R>(
        &self,
        action: impl FnOnce(BorrowedFd<'_>) -> R,
    ) -> Result<(R, Result<Level, Error>), Error> {
        let window = Window::open(self)?;
        let result = action(window.root());
        Ok((result, window.close()))
    }

    pub(super) fn mounts(&self) -> &M {
        &self.mounts
    }

    pub(super) fn state_of(&self, mount: &M::Mount) -> Result<MountState, Error> {
        self.mounts
            .state(mount)
            .map_err(self.failed("read the mount's flags", "/proc/thread-self/mountinfo"))
    }

    pub(super) fn seal_mount(&self, mount: &M::Mount, state: MountState) -> Result<(), Error> {
        if state.mount_read_only {
            return Ok(());
        }
        match self.mounts.set_mount_read_only(mount, true) {
            Err(error) if is_busy(&error) => Err(Error::Writer {
                mount_point: self.mount_point.clone(),
            }),
            other => other.map_err(self.failed("make the mount read-only", "mount_setattr")),
        }
    }

    /// Seals the superblock unless `state`, as it was before, says that others write to it.
    pub(super) fn seal_superblock(
        &self,
        mount: &M::Mount,
        state: MountState,
    ) -> Result<Level, Error> {
        if Level::reachable(state) < Level::Sealed {
            return Ok(Level::MountSealed);
        }
        match self.mounts.set_superblock_read_only(mount, true) {
            Ok(()) => Ok(Level::Sealed),
            Err(error) if is_busy(&error) => Ok(Level::MountSealed),
            Err(error) => Err(self.failed("make the superblock read-only", "fsconfig")(
                error,
            )),
        }
    }

    pub(super) fn open_superblock(&self, mount: &M::Mount) -> Result<(), Error> {
        self.mounts
            .set_superblock_read_only(mount, false)
            .map_err(self.failed("make the superblock writable", "fsconfig"))
    }

    pub(super) fn failed(
        &self,
        what: &'static str,
        call: &'static str,
    ) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Call {
            mount_point: self.mount_point.clone(),
            what,
            call,
            source,
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
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
