//! The tracker of last resort: it knows nothing, so holds go at the next transaction only.

use std::future;

use super::{Health, News, Pin, TrackError, Tracker};

/// Stands in where the kernel refuses the BPF programs and fanotify.
#[derive(Debug)]
pub struct Untracked {
    reason: String,
}

impl Untracked {
    /// Remembers why there is no other tracker.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl Tracker for Untracked {
    fn watch(&mut self, _pins: Vec<Pin>) -> Result<(), TrackError> {
        Ok(())
    }

    fn unwatch(&mut self, _inode: u64) {}

    fn holders(&self, _inode: u64) -> Option<u64> {
        None
    }

    async fn news(&mut self) -> News {
        future::pending().await
    }

    fn health(&self) -> Health {
        Health {
            tracker: "none",
            missing: Some(self.reason.clone()),
            ..Health::default()
        }
    }
}
