//! Files that are opened while the volume is open get a hold, as those have that were in use before.

use std::os::fd::AsFd as _;

use super::EventLoop;
use crate::{
    hold::Caught,
    seal::Level,
    track::{Newcomer, Tracker},
    transaction::{Error, history::What},
};

impl<T: Tracker> EventLoop<T> {
    /// Asks to be told of them. Before it is looked at what is in use: whoever opens a file after that look is
    /// told then. Where the superblock stays writable anyway, a file without a name is in nobody's way.
    pub(super) fn await_newcomers(&mut self) {
        let is_of_use = matches!(self.keeper.wanted(), Ok(Level::Sealed));
        if self.caught.is_some() || !is_of_use {
            return;
        }
        let asked = match self.keeper.seal().open() {
            Ok(volume) => self
                .tracker
                .await_newcomers(Some(volume.as_fd()))
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok(()) => self.caught = Some(0),
            Err(error) => tracing::warn!("files that are opened from now on get no hold: {error}"),
        }
    }

    /// Makes holds for them, at once: their names may be about to go.
    pub(super) fn catch(&mut self, newcomers: &[Newcomer]) {
        let (caught, warnings) = match self.keeper.preserve_opened(newcomers) {
            Ok(caught) => caught,
            // Somebody is at work for a moment: these are lost, the next ones are not.
            Err(Error::Lock(_)) => {
                let missed = newcomers.len() as u64;
                let caught = Caught {
                    missed,
                    ..Caught::default()
                };
                (caught, Vec::new())
            }
            Err(error) => {
                self.failed("no holds for files that are opened now", &error);
                // What fails for one fails for all. The next dpkg's are asked for again.
                return self.end_newcomers();
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let held = caught.names.len() as u64;
        self.metrics.preserved.inc_by(held);
        self.metrics.caught(&caught);
        if let Some(all) = &mut self.caught {
            *all += held;
        }
        tracing::debug!(
            held,
            already = caught.already,
            missed = caught.missed,
            "files were opened"
        );
    }

    /// Nobody has the volume open any more.
    pub(super) fn end_newcomers(&mut self) {
        let Some(holds) = self.caught.take() else {
            return;
        };
        if let Err(error) = self.tracker.await_newcomers(None) {
            tracing::error!("files that are opened are still told: {error}");
        }
        if holds == 0 {
            return;
        }
        tracing::info!(holds, "files that were opened meanwhile were held, too");
        let what = What::Preserved {
            packages: Vec::new(),
            files: 0,
            holds,
        };
        if let Err(error) = self.keeper.remember([what]) {
            self.failed("not in the history", &error);
        }
    }
}
