//! A superblock writable for milliseconds, through a private clone of the mount only.

use std::os::fd::{AsFd as _, BorrowedFd};

use super::machine::Position;
use super::{Error, Level, Seal, State};
use crate::sys::mount::Mounts;

/// An open window. It closes when dropped, too; closing it by [`Window::close`] tells how that went.
pub(super) struct Window<'s, M: Mounts> {
    seal: &'s Seal<M>,
    position: Position<M>,
    /// Where it goes back to; `None` where everybody can write anyway, and once it is closed.
    back: Option<State>,
}

impl<'s, M: Mounts> Window<'s, M> {
    pub(super) fn open(seal: &'s Seal<M>) -> Result<Self, Error> {
        let mut position = seal.look()?;
        // Told by the flags before: with the superblock writable, a mount beside would look writable.
        let back = Level::reachable(position.actual.flags);
        let state = seal.move_to(&mut position, State::Window)?;
        Ok(Self {
            seal,
            position,
            back: (state == State::Window).then_some(back.into()),
        })
    }

    /// The directory to write below.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        let Position { twin, visible, .. } = &self.position;
        twin.as_ref().unwrap_or(visible).as_fd()
    }

    pub(super) fn close(mut self) -> Result<Level, Error> {
        self.end().map(State::level)
    }

    fn end(&mut self) -> Result<State, Error> {
        match self.back.take() {
            Some(back) => self.seal.move_to(&mut self.position, back),
            None => Ok(self.position.actual.state()),
        }
    }
}

impl<M: Mounts> Drop for Window<'_, M> {
    fn drop(&mut self) {
        // Only left open by a panic, which tells more than this error would. The next seal tries again.
        let _ = self.end();
    }
}
