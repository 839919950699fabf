//! How openings end: told, or found out.

use super::EventLoop;
use crate::{
    agent::{opener_watch::OpenerWatch, protocol::Reply},
    track::Tracker,
    transaction::{Frontend, Opener, Outcome},
};

impl<T: Tracker> EventLoop<T> {
    /// One for whom the volume is writable may be gone.
    pub(in crate::agent) fn look_after_openers(&mut self) {
        let gone = match self.keeper.abandoned() {
            Ok(gone) => gone,
            Err(error) => {
                self.failed("cannot tell who has /usr open", &error);
                return self.look_after_openers_later();
            }
        };
        if gone.is_empty() {
            return self.measure();
        }
        for opener in gone {
            tracing::warn!("{opener} ended without telling so");
            if matches!(self.close("ended", opener), Reply::Error(_)) {
                return self.look_after_openers_later();
            }
        }
        self.list_holds();
        self.measure();
    }

    /// Who is gone stays gone, and would be told at once and for ever: it is left to the timer.
    fn look_after_openers_later(&mut self) {
        self.openers = OpenerWatch::default();
        self.sealing.set(true);
    }

    pub(super) fn finish(&mut self, frontend: Option<Frontend>) -> Reply {
        let reply = self.step("finished", |agent| {
            agent.keeper.finish_by(&mut agent.tracker, frontend)
        });
        let is_inner = |outcome: &Outcome| outcome.open_for.contains(&Opener::Transaction);
        if matches!(&reply, Reply::Done(outcome) if !is_inner(outcome)) {
            self.metrics.transactions.inc();
        }
        reply
    }

    pub(super) fn close(&mut self, event: &'static str, opener: Opener) -> Reply {
        self.step(event, |agent| {
            agent.keeper.close(&mut agent.tracker, opener)
        })
    }
}
