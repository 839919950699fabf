//! Whether the agent itself is in the way, and whether it is needed.

use super::EventLoop;
use crate::track::{Tracker, replaced::replaced};

/// How much of an agent's work is done.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::agent) enum Done {
    Nothing,
    /// The volume is as read-only as wanted.
    Sealed,
    /// Nothing is held either.
    All,
}

impl<T: Tracker> EventLoop<T> {
    /// What a new image does at its start: it is not executed over and over.
    pub(in crate::agent) fn is_new_image(&mut self) {
        self.is_helpless = self.is_outdated();
        if self.is_helpless {
            tracing::warn!(
                "the agent still runs it, and may keep /usr from being sealed: `systemctl restart rousr`"
            );
        }
    }

    /// Whether this process runs what was replaced, so that it is a holder and may be a blocker itself; or
    /// keeps what is not /usr any more.
    /// Asked where nobody has the volume open any more, once for each cause to ask.
    pub(in crate::agent) fn is_outdated(&mut self) -> bool {
        if std::mem::take(&mut self.is_moved) {
            tracing::info!("another filesystem holds /usr now");
            return true;
        }
        if !std::mem::take(&mut self.may_be_outdated) {
            return false;
        }
        let top = &self.keeper.volume().mount_point;
        match replaced(top, |inode| self.holds.contains_key(&inode)) {
            Ok(replaced) => {
                for path in &replaced {
                    tracing::info!(path = %path.display(), "what this agent runs was replaced");
                }
                !replaced.is_empty()
            }
            Err(error) => {
                self.failed(
                    "cannot tell whether this agent runs what was replaced",
                    &error,
                );
                false
            }
        }
    }

    /// Whether nobody has the volume open, it is as read-only as wanted, and nothing is held: nothing is left
    /// to do.
    pub(in crate::agent) fn is_done(&self) -> Done {
        let is_sealed = self.levels().is_ok_and(|(level, wanted, openings)| {
            openings.openers().next().is_none() && level >= wanted
        });
        let own = match (is_sealed, self.holds.is_empty()) {
            (true, true) => Done::All,
            (true, false) => Done::Sealed,
            (false, _) => Done::Nothing,
        };
        own.min(self.beside.is_done())
    }
}
