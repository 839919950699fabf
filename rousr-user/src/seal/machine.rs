//! The machine: what is the case, and the one way from there to what is wanted.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::step::{Actual, Step};
use super::window::Window;
use super::{Error, Level, State};
use crate::sys::mount::{HostMounts, MountState, Mounts};

/// The read-only state of one mounted filesystem, and the moves between its states.
///
/// It keeps no state of its own: each move starts from the kernel's.
#[derive(Clone, Debug)]
pub struct Seal<M> {
    mounts: M,
    mount_point: PathBuf,
}

/// Where the machine stands in a move.
pub(super) struct Position<M: Mounts> {
    pub(super) actual: Actual,
    pub(super) visible: M::Mount,
    /// The private clone, while there is one.
    pub(super) twin: Option<M::Mount>,
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
        self.flags(&self.open()?)
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

    /// Makes it writable: the superblock first, so that no writer meets a mount that lies. Where that
    /// fails, it is as before.
    pub fn unseal(&self) -> Result<(), Error> {
        let mut position = self.look()?;
        if let Some(frozen) = position.actual.flags.frozen {
            let mount_point = self.mount_point.clone();
            return Err(Error::Frozen {
                mount_point,
                frozen,
            });
        }
        self.move_to(&mut position, State::Open).map(drop)
    }

    /// Makes it read-only as far as possible, and says how far that is.
    ///
    /// The mount comes first and is sealed at once. A blocker (an inode without a name that is in
    /// use, a writer through another mount) keeps the superblock from it: no error, but
    /// [`Level::MountSealed`]. So does another writable mount of the same superblock.
    pub fn seal(&self) -> Result<Level, Error> {
        let mut position = self.look()?;
        let reachable = Level::reachable(position.actual.flags);
        let state = self.move_to(&mut position, reachable.into())?;
        Ok(state.level())
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

    /// Where it stands now.
    pub(super) fn look(&self) -> Result<Position<M>, Error> {
        let visible = self.open()?;
        Ok(Position {
            actual: Actual::of(self.flags(&visible)?),
            visible,
            twin: None,
        })
    }

    /// The one way from a state to another; no flag is turned but by this. Tells what is reached: less
    /// than `target` where something blocks the superblock, and [`State::Open`] for a window of what
    /// is open.
    ///
    /// A move that fails leaves nothing more open than it was.
    pub(super) fn move_to(
        &self,
        position: &mut Position<M>,
        target: State,
    ) -> Result<State, Error> {
        let before = position.actual.state();
        match self.walk(position, target) {
            Err(error) if target < before => match self.walk(position, before) {
                Ok(_) => Err(error),
                Err(back) => Err(Error::Stuck {
                    error: Box::new(error),
                    back: Box::new(back),
                }),
            },
            reached => reached,
        }
    }

    fn walk(&self, position: &mut Position<M>, target: State) -> Result<State, Error> {
        while let Some(step) = position.actual.next(target) {
            match self.take(position, step) {
                Ok(()) => position.actual = position.actual.after(step),
                Err(error) if is_busy(&error) && step == Step::SealMount => {
                    return Err(Error::Writer {
                        mount_point: self.mount_point.clone(),
                    });
                }
                // A blocker is no error.
                Err(error) if is_busy(&error) && step == Step::SealSuperblock => break,
                Err(error) => return Err(self.failed(step.purpose(), step.call())(error)),
            }
        }
        Ok(position.actual.state())
    }

    fn take(&self, position: &mut Position<M>, step: Step) -> io::Result<()> {
        let Position { visible, twin, .. } = position;
        match step {
            Step::SealMount => self.mounts.set_mount_read_only(visible, true),
            Step::OpenMount => self.mounts.set_mount_read_only(visible, false),
            Step::SealSuperblock => self.mounts.set_superblock_read_only(visible, true),
            Step::OpenSuperblock => self.mounts.set_superblock_read_only(visible, false),
            Step::MakeTwin => {
                *twin = Some(self.mounts.clone_mount(visible)?);
                Ok(())
            }
            Step::OpenTwin => match twin {
                Some(twin) => self.mounts.set_mount_read_only(twin, false),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            Step::DropTwin => {
                *twin = None;
                Ok(())
            }
        }
    }

    pub(super) fn mounts(&self) -> &M {
        &self.mounts
    }

    fn flags(&self, mount: &M::Mount) -> Result<MountState, Error> {
        self.mounts
            .state(mount)
            .map_err(self.failed("read the mount's flags", "/proc/thread-self/mountinfo"))
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

impl Seal<HostMounts> {
    /// Where else the superblock is mounted and writable, which keeps it so.
    pub fn shared_with(&self) -> Result<Vec<PathBuf>, Error> {
        self.mounts
            .writable_beside(&self.open()?)
            .map_err(self.failed("look for its other mounts", "/proc/thread-self/mountinfo"))
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}
