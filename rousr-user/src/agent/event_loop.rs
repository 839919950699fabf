//! What the agent does with each event. Every step is short and runs to its end.

mod answers;
mod reaps;
mod seals;

use std::{collections::BTreeMap, time::Duration};

use super::{
    batch::Batch, metrics::Metrics, opener_watch::OpenerWatch, pace::Pace, protocol::Reply,
    retry::Retry, sealing::Sealing,
};
use crate::{
    config::Config,
    dpkg::write_order::WriteOrder,
    seal::Level,
    track::Tracker,
    transaction::{Error, HostKeeper, Opener, Outcome},
};

pub(super) struct EventLoop<T> {
    keeper: HostKeeper,
    pub(super) tracker: T,
    metrics: Metrics,
    /// The holds there are, with the disk space that each takes.
    holds: BTreeMap<u64, u64>,
    /// Inodes that wait for the next window.
    pub(super) batch: Batch,
    pace: Pace,
    /// Holds to look at again though no event tells to: what refers to them, a mount, a uprobe, a
    /// path lookup under way, sends none when it goes.
    pub(super) doubtful: Retry<u64>,
    /// When to try to seal again.
    pub(super) sealing: Sealing,
    /// Whether to compare the counts with the kernel's again, as that failed.
    pub(super) resyncing: Retry<()>,
    /// Tells when one for whom the volume is writable may be gone.
    pub(super) openers: OpenerWatch,
    /// Kept while the volume is open.
    order: Option<WriteOrder>,
}

/// Not before something that uses a hold for a moment is gone, and not so late that it shows.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// The passes over all tasks are dear.
const RESYNC: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

impl<T: Tracker> EventLoop<T> {
    pub(super) fn new(keeper: HostKeeper, tracker: T, metrics: Metrics) -> Self {
        // Why it cannot be used is told at the start.
        let Config { window_pause, .. } = keeper.config().unwrap_or_default();
        Self {
            batch: Batch::default(),
            pace: Pace::new(window_pause),
            keeper,
            tracker,
            metrics,
            holds: BTreeMap::new(),
            doubtful: Retry::new(LOOK.0, LOOK.1),
            sealing: Sealing::default(),
            resyncing: Retry::new(RESYNC.0, RESYNC.1),
            openers: OpenerWatch::default(),
            order: None,
        }
    }

    /// Settles what is on disk and seals, unless somebody has the volume open.
    pub(super) fn start(&mut self) {
        self.step("settled", |agent| {
            agent.keeper.end_abandoned(&mut agent.tracker)
        });
        self.list_holds();
        self.measure();
    }

    fn failed(&self, what: &str, error: &impl std::error::Error) {
        self.metrics.errors.inc();
        tracing::error!("{what}: {error}");
    }

    /// One for whom the volume is writable may be gone.
    pub(super) fn look_after_openers(&mut self) {
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

    fn close(&mut self, event: &'static str, opener: Opener) -> Reply {
        self.step(event, |agent| {
            agent.keeper.close(&mut agent.tracker, opener)
        })
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
                self.count_windows(outcome.reaped);
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
            Err(error) => self.failed(&format!("not {event}"), error),
        }
    }

    /// What is on disk: the holds change only by the steps that end with this, and by reaps.
    fn list_holds(&mut self) {
        match self.keeper.holds() {
            Ok(listing) => {
                let holds = (listing.holds.iter()).map(|hold| (hold.inode, hold.stat.allocated));
                let before = std::mem::replace(&mut self.holds, holds.collect());
                // Removed by somebody else: a pin would keep the inode, and the superblock writable.
                for inode in before
                    .keys()
                    .filter(|inode| !self.holds.contains_key(inode))
                {
                    self.tracker.unwatch(*inode);
                }
                self.tracker.rest();
            }
            Err(error) => self.failed("cannot list the holds", &error),
        }
        self.doubtful.clear();
        let all: Vec<u64> = self.holds.keys().copied().collect();
        self.look_again_at(&all, false);
    }

    fn measure(&mut self) {
        match self.levels() {
            Ok((level, wanted, openers)) => {
                self.metrics.set_levels(level, wanted);
                self.follow_seal(openers.is_empty() && level < wanted);
                self.openers.follow(&openers, self.keeper.admin_dir());
                self.keep_order(!openers.is_empty());
            }
            Err(error) => self.failed("cannot tell the level", &error),
        }
        self.metrics
            .set_holds(self.holds.len(), self.holds.values().sum());
        self.metrics.set_tracker(&self.tracker.health());
    }

    /// A power cut must not leave a database of dpkg's that is ahead of the volume.
    fn keep_order(&mut self, is_open: bool) {
        if !is_open {
            self.order = None;
        } else if self.order.is_none() {
            let volume = &self.keeper.volume().mount_point;
            match WriteOrder::keep(self.keeper.admin_dir(), volume) {
                Ok(order) => self.order = order,
                Err(error) => tracing::warn!(
                    "dpkg's database may reach the disk before {}: {error}",
                    volume.display()
                ),
            }
        }
    }

    fn levels(&self) -> Result<(Level, Level, Vec<Opener>), Error> {
        Ok((
            self.keeper.level()?,
            self.keeper.wanted()?,
            self.keeper.openers()?,
        ))
    }
}
