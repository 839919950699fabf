//! What goes into the history.

use super::{
    Error, Keeper,
    history::{Event, What},
};
use crate::sys::{lease::Leases, links::Links, mount::Mounts};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// Writes to the history what only its caller knows.
    ///
    /// # Errors
    ///
    /// Fails where another process is at work, or the file cannot be written.
    pub fn remember(&self, what: impl IntoIterator<Item = What>) -> Result<(), Error> {
        let events = self.events(what);
        if events.is_empty() {
            return Ok(());
        }
        let _lock = self.lock_soon()?;
        Ok(self.history.append(events)?)
    }

    fn events(&self, what: impl IntoIterator<Item = What>) -> Vec<Event> {
        let event = |what| Event {
            beside: self.places.beside.clone(),
            ..Event::now(what)
        };
        what.into_iter().map(event).collect()
    }

    /// Writes to the history, which is for people only: a failure is told and nothing else.
    pub(super) fn note(&self, what: impl IntoIterator<Item = What>, trouble: &mut Vec<String>) {
        if let Err(error) = self.history.append(self.events(what)) {
            trouble.push(error.to_string());
        }
    }
}
