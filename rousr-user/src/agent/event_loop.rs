//! What the agent does with each event. Every step is short and runs to its end.

mod answers;

use std::{collections::BTreeMap, time::Duration};

use super::{metrics::Metrics, opener_watch::OpenerWatch, protocol::Reply, retry::Retry};
use crate::{
    seal::Level,
    track::{News, Tracker},
    transaction::{Error, HostKeeper, Opener, Outcome, Reaping},
};

pub(super) struct EventLoop<T> {
    keeper: HostKeeper,
    pub(super) tracker: T,
    metrics: Metrics,
    /// The holds there are, with the disk space that each takes.
    holds: BTreeMap<u64, u64>,
    /// Holds to look at again though no event tells to: what refers to them, a mount, a uprobe, a
    /// path lookup under way, sends none when it goes.
    pub(super) doubtful: Retry<u64>,
    /// Whether to try to seal again: what blocks it, as a working directory does, goes silently.
    pub(super) sealing: Retry<()>,
    /// Whether to compare the counts with the kernel's again, as that failed.
    pub(super) resyncing: Retry<()>,
    /// Tells when one for whom the volume is writable may be gone.
    pub(super) openers: OpenerWatch,
}

/// Not before something that uses a hold for a moment is gone, and not so late that it shows.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// Each failed try costs the kernel the volume's unused directory entries (`shrink_dcache_sb` in
/// `reconfigure_super`, fs/super.c).
const SEAL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

impl<T: Tracker> EventLoop<T> {
    pub(super) fn new(keeper: HostKeeper, tracker: T, metrics: Metrics) -> Self {
        Self {
            keeper,
            tracker,
            metrics,
            holds: BTreeMap::new(),
            doubtful: Retry::new(LOOK.0, LOOK.1),
            sealing: Retry::new(SEAL.0, SEAL.1),
            resyncing: Retry::new(SEAL.0, SEAL.1),
            openers: OpenerWatch::default(),
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

    /// Inodes lost a holder: those without any go.
    pub(super) fn released(&mut self, news: &News) {
        // Of several releases of an inode the last one stays.
        let latest: BTreeMap<u64, u64> = news
            .releases
            .iter()
            .map(|release| (release.inode, release.at))
            .collect();
        if news.lost {
            self.resync("the kernel side may have lost an event", &latest);
        } else {
            let inodes: Vec<u64> = latest.keys().copied().collect();
            self.reap(&inodes, &latest);
        }
        self.measure();
    }

    /// Holds that the kernel would not give up: their last user may be gone.
    pub(super) fn look_again(&mut self) {
        let due = self.doubtful.due();
        self.reap(&due, &BTreeMap::new());
        self.measure();
    }

    fn reap(&mut self, inodes: &[u64], released: &BTreeMap<u64, u64>) {
        let failed = match self.keeper.reap(&mut self.tracker, inodes.iter().copied()) {
            Ok(reaping) => {
                self.reaped(&reaping, released);
                !reaping.errors.is_empty()
            }
            Err(error) => {
                self.failed("cannot reap", &error);
                true
            }
        };
        self.look_again_at(inodes, failed);
    }

    /// A hold with a count of zero that is still there is used by something that no count knows. Where
    /// something `failed`, whatever is still there may have lost its last holder.
    fn look_again_at(&mut self, inodes: &[u64], failed: bool) {
        for &inode in inodes {
            let is_doubtful = failed || self.tracker.holders(inode) == Some(0);
            let is_held = self.holds.contains_key(&inode);
            self.doubtful.set(inode, is_held && is_doubtful);
        }
    }

    /// Counts may be wrong: they are brought into agreement with the kernel, and every hold is looked
    /// at, as an event that was lost may have been its last.
    fn resync(&mut self, why: &str, released: &BTreeMap<u64, u64>) {
        tracing::warn!("{why}; comparing every count with the kernel's");
        let resynced = self.tracker.resync();
        if let Err(error) = &resynced {
            self.failed("counts may be wrong", error);
        }
        self.resyncing.set((), resynced.is_err());
        let all: Vec<u64> = self.holds.keys().copied().collect();
        self.reap(&all, released);
    }

    /// A comparison that failed is made again.
    pub(super) fn resync_again(&mut self) {
        if !self.resyncing.due().is_empty() {
            self.resync("counts may be wrong", &BTreeMap::new());
            self.measure();
        }
    }

    fn failed(&self, what: &str, error: &impl std::error::Error) {
        self.metrics.errors.inc();
        tracing::error!("{what}: {error}");
    }

    fn reaped(&mut self, reaping: &Reaping, released: &BTreeMap<u64, u64>) {
        for hold in &reaping.reaped {
            self.holds.remove(&hold.inode);
            self.metrics.reaped.inc();
            let since_release = |at: u64| {
                let released = released.get(&hold.inode)?;
                Some(Duration::from_nanos(at.saturating_sub(*released)))
            };
            let verdict = since_release(hold.verdict);
            let latency = since_release(hold.at);
            if let Some(latency) = latency {
                self.metrics.latency.observe(latency.as_secs_f64());
            }
            tracing::info!(
                inode = hold.inode,
                path = hold.path.as_ref().map(|path| path.display().to_string()),
                bytes = hold.bytes,
                verdict_us = verdict.map(microseconds),
                latency_us = latency.map(microseconds),
                level = reaping.level.map(Level::as_str),
                "reaped",
            );
        }
        for inode in &reaping.gone {
            self.holds.remove(inode);
        }
        for error in &reaping.errors {
            self.metrics.errors.inc();
            tracing::error!("{error}");
        }
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
        self.sealing.set((), true);
    }

    fn close(&mut self, event: &'static str, opener: Opener) -> Reply {
        self.step(event, |agent| {
            agent.keeper.close(&mut agent.tracker, opener)
        })
    }

    /// Tries to seal what something was in the way of.
    pub(super) fn seal_again(&mut self) {
        if self.sealing.due().is_empty() {
            return;
        }
        match self.keeper.seal_again() {
            Ok(Some(Outcome { level, wanted, .. })) if level >= wanted => {
                tracing::info!(level = level.as_str(), "nothing is in the way any more");
            }
            Ok(Some(_)) => {}
            // Still open: for whom an end failed before, or for somebody who came since.
            Ok(None) => return self.look_after_openers(),
            // Told when it failed first.
            Err(error) => tracing::debug!("cannot seal yet: {error}"),
        }
        self.measure();
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
                self.sealing.set((), openers.is_empty() && level < wanted);
                self.openers.follow(&openers, self.keeper.admin_dir());
            }
            Err(error) => self.failed("cannot tell the level", &error),
        }
        self.metrics
            .set_holds(self.holds.len(), self.holds.values().sum());
        self.metrics.set_tracker(&self.tracker.health());
    }

    fn levels(&self) -> Result<(Level, Level, Vec<Opener>), Error> {
        Ok((
            self.keeper.level()?,
            self.keeper.wanted()?,
            self.keeper.openers()?,
        ))
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
