//! A superblock writable for milliseconds, through a private clone of the mount only.

use std::os::fd::{AsFd as _, BorrowedFd};

use super::{Error, Level, Seal};
use crate::sys::mount::{MountState, Mounts};

/// An open window. It closes when dropped, too; closing it by [`Window::close`] tells how that went.
pub(super) struct Window<'s, M: Mounts> {
    seal: &'s Seal<M>,
    visible: M::Mount,
    /// As found before the window opened.
    state: MountState,
    /// The way to write; `None` where the visible mount is that way, and once the window is closed.
    clone: Option<M::Mount>,
    closed: bool,
}

impl<'s, M: Mounts> Window<'s, M> {
    /// No write through the visible mount gets through at any moment: its own flag is set before
    /// the superblock's is cleared, and cleared is only the clone's.
    pub(super) fn open(seal: &'s Seal<M>) -> Result<Self, Error> {
        let visible = seal.open()?;
        let state = seal.state_of(&visible)?;
        if Level::of(state) == Level::Open {
            return Ok(Self {
                seal,
                visible,
                state,
                clone: None,
                closed: true,
            });
        }
        seal.seal_mount(&visible, state)?;
        let clone = seal
            .mounts()
            .clone_mount(&visible)
            .map_err(seal.failed("clone the mount", "open_tree"))?;
        seal.mounts()
            .set_mount_read_only(&clone, false)
            .map_err(seal.failed("make the mount's clone writable", "mount_setattr"))?;
        if state.superblock_read_only {
            seal.open_superblock(&visible)?;
        }
        Ok(Self {
            seal,
            visible,
            state,
            clone: Some(clone),
            closed: false,
        })
    }

    /// The directory to write below.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.clone.as_ref().unwrap_or(&self.visible).as_fd()
    }

    pub(super) fn close(mut self) -> Result<Level, Error> {
        self.end()
    }

    fn end(&mut self) -> Result<Level, Error> {
        // The clone goes first: nobody may begin to write through it any more.
        self.clone = None;
        if self.closed {
            return Ok(Level::of(self.state));
        }
        self.closed = true;
        self.seal.seal_superblock(&self.visible, self.state)
    }
}

impl<M: Mounts> Drop for Window<'_, M> {
    fn drop(&mut self) {
        // Only left open by a panic, which tells more than this error would. The next seal tries again.
        let _ = self.end();
    }
}
