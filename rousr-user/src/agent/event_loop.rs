//! What the agent does with each event. Every step is short and runs to its end.

use std::{collections::BTreeMap, time::Duration};

use super::{
    metrics::Metrics,
    protocol::{Reply, Request},
    server::Call,
    status::{AgentStatus, Status},
};
use crate::{
    seal::Level,
    track::{News, Tracker},
    transaction::{Error, HostKeeper, Outcome, Reaping},
};

pub(super) struct EventLoop<T> {
    keeper: HostKeeper,
    pub(super) tracker: T,
    metrics: Metrics,
}

impl<T: Tracker> EventLoop<T> {
    pub(super) fn new(keeper: HostKeeper, tracker: T, metrics: Metrics) -> Self {
        Self {
            keeper,
            tracker,
            metrics,
        }
    }

    /// Settles what is on disk and seals, unless a transaction is open: its last hook does it.
    pub(super) fn start(&mut self) {
        match self.keeper.transaction_is_running() {
            Ok(true) => tracing::info!("a transaction is open; waiting for its end"),
            Ok(false) => {
                let result = self.keeper.finish(&mut self.tracker);
                self.log("settled", &result);
            }
            Err(error) => tracing::error!("cannot settle what is on disk: {error}"),
        }
        self.measure();
    }

    /// Inodes lost a holder: those without any go.
    pub(super) fn released(&mut self, news: News) {
        if news.lost {
            return self.resync();
        }
        // Of several releases of an inode the last one stays.
        let latest: BTreeMap<u64, u64> = news
            .releases
            .iter()
            .map(|release| (release.inode, release.at))
            .collect();
        match self.keeper.reap(&mut self.tracker, latest.keys().copied()) {
            Ok(reaping) => self.reaped(&reaping, &latest),
            Err(error) => {
                self.metrics.errors.inc();
                tracing::error!("cannot reap: {error}");
            }
        }
        self.measure();
    }

    /// The kernel side lost an event, so its counts may be wrong: they begin anew.
    fn resync(&mut self) {
        tracing::warn!("the kernel side lost an event; counting every hold anew");
        match self.keeper.holds() {
            Ok(listing) => {
                for hold in listing.holds {
                    self.tracker.unwatch(hold.inode);
                }
            }
            Err(error) => tracing::error!("cannot list the holds: {error}"),
        }
        self.start();
    }

    fn reaped(&mut self, reaping: &Reaping, released: &BTreeMap<u64, u64>) {
        for hold in &reaping.reaped {
            self.metrics.reaped.inc();
            let latency = released
                .get(&hold.inode)
                .map(|&at| Duration::from_nanos(hold.at.saturating_sub(at)));
            if let Some(latency) = latency {
                self.metrics.latency.observe(latency.as_secs_f64());
            }
            tracing::info!(
                inode = hold.inode,
                path = hold.path.as_ref().map(|path| path.display().to_string()),
                bytes = hold.bytes,
                latency_us =
                    latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
                level = reaping.level.map(Level::as_str),
                "reaped",
            );
        }
        for error in &reaping.errors {
            self.metrics.errors.inc();
            tracing::error!("{error}");
        }
    }

    pub(super) fn answer(&mut self, call: Call) {
        let reply = match call.request {
            Request::Begin => self.step("began", |agent| agent.keeper.begin()),
            Request::Preserve { .. } => {
                self.step("preserved", |agent| agent.keeper.preserve(&call.stream))
            }
            Request::Finish => {
                self.metrics.transactions.inc();
                self.step("finished", |agent| agent.keeper.finish(&mut agent.tracker))
            }
            Request::Status => self.status(),
        };
        self.measure();
        if call.reply.send(reply).is_err() {
            tracing::debug!("the caller did not wait for its answer");
        }
    }

    fn step(
        &mut self,
        event: &'static str,
        step: impl FnOnce(&mut Self) -> Result<Outcome, Error>,
    ) -> Reply {
        let result = step(self);
        self.log(event, &result);
        match result {
            Ok(outcome) => Reply::Done(outcome),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    fn log(&mut self, event: &'static str, result: &Result<Outcome, Error>) {
        match result {
            Ok(outcome) => {
                self.metrics.preserved.inc_by(outcome.preserved);
                self.metrics.reaped.inc_by(outcome.reaped);
                for warning in &outcome.warnings {
                    tracing::warn!("{warning}");
                }
                tracing::info!(
                    level = outcome.level.as_str(),
                    wanted = outcome.wanted.as_str(),
                    preserved = outcome.preserved,
                    kept = outcome.kept,
                    reaped = outcome.reaped,
                    "{event}",
                );
            }
            Err(error) => {
                self.metrics.errors.inc();
                tracing::error!("not {event}: {error}");
            }
        }
    }

    fn status(&self) -> Reply {
        let health = self.tracker.health();
        let agent = AgentStatus::from(&health);
        match Status::collect(&self.keeper, Some(agent), |inode| {
            self.tracker.holders(inode)
        }) {
            Ok(status) => Reply::Status(Box::new(status)),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    fn measure(&self) {
        if let (Ok(level), Ok(wanted)) = (self.keeper.level(), self.keeper.wanted()) {
            self.metrics.set_levels(level, wanted);
        }
        if let Ok(listing) = self.keeper.holds() {
            let bytes = listing.holds.iter().map(|hold| hold.stat.allocated).sum();
            self.metrics.set_holds(listing.holds.len(), bytes);
        }
        self.metrics.set_tracker(&self.tracker.health());
    }
}
