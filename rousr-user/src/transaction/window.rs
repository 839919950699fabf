//! Windows, and how long they were open.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use super::Keeper;
use crate::{
    seal::{Error, Level},
    sys::{lease::Leases, links::Links, mount::Mounts},
};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// As [`Seal::window`](crate::seal::Seal::window), and takes note of it.
    pub(super) fn window<R>(
        &self,
        action: impl FnOnce(BorrowedFd<'_>) -> R,
    ) -> Result<(R, Result<Level, Error>), Error> {
        let begin = Instant::now();
        let outcome = self.seal.window(action)?;
        // What is open for everybody needs none.
        if !matches!(outcome.1, Ok(Level::Open)) {
            self.windows.borrow_mut().push(begin.elapsed());
        }
        Ok(outcome)
    }

    /// The windows since the last call: from the first look at the flags to the last change of one.
    pub fn take_windows(&self) -> Vec<Duration> {
        self.windows.take()
    }
}
