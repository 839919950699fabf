//! A seal that something was in the way of is tried again.

use std::os::fd::AsFd as _;

use super::EventLoop;
use crate::{seal::Level, track::Tracker, transaction::Outcome};

impl<T: Tracker> EventLoop<T> {
    /// Tries to seal what something was in the way of.
    pub(in crate::agent) fn seal_again(&mut self) {
        let Some(cause) = self.sealing.due() else {
            return;
        };
        self.metrics.tried_to_seal(cause);
        // First: what goes while it is tried is told, too.
        self.await_unblocking(true);
        match self.keeper.seal_again() {
            Ok(Some(Outcome { level, wanted, .. })) if level >= wanted => {
                let level = Level::as_str(level);
                tracing::info!(
                    level,
                    after = cause.as_str(),
                    "nothing is in the way any more"
                );
            }
            // By this process itself, perhaps.
            Ok(Some(_)) => self.may_be_outdated |= !self.is_helpless,
            // Still open: for whom an end failed before, or for somebody who came since.
            Ok(None) => return self.look_after_openers(),
            // Told when it failed first.
            Err(error) => tracing::debug!("cannot seal yet: {error}"),
        }
        self.measure();
    }

    /// Takes up that a seal is pending, or none any more.
    pub(super) fn follow_seal(&mut self, is_pending: bool) {
        if is_pending != self.sealing.is_pending() {
            self.await_unblocking(is_pending);
        }
        self.sealing.set(is_pending);
    }

    /// Where this fails the timer is left.
    fn await_unblocking(&mut self, is_pending: bool) {
        let asked = match is_pending.then(|| self.keeper.seal().open()).transpose() {
            Ok(volume) => {
                let volume = volume.as_ref().map(|volume| volume.as_fd());
                self.tracker
                    .await_unblocking(volume)
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = asked {
            tracing::warn!("what unblocks the seal is not told, a timer looks for it: {error}");
        }
    }
}
