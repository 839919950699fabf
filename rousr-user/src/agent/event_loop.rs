//! What the agent does with each event. Every step is short and runs to its end.

mod answers;
mod ends;
mod newcomers;
mod own;
mod reaps;
mod seals;

use std::{collections::BTreeMap, time::Duration};

pub(super) use own::Done;

use super::{
    batch::Batch,
    beside::Beside,
    metrics::{Figures, Metrics},
    opener_watch::OpenerWatch,
    pace::Pace,
    protocol::Reply,
    retry::Retry,
    sealing::Sealing,
};
use crate::{
    config::Config,
    seal::{Level, Volume},
    track::Tracker,
    transaction::{Error, HostKeeper, Openings, Outcome, WriteOrder},
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
    /// Whether to settle again, as that failed.
    pub(super) settling: Retry<()>,
    /// Tells when one for whom the volume is writable may be gone.
    pub(super) openers: OpenerWatch,
    /// Whether somebody had the volume open when it was last looked at.
    is_open: bool,
    /// Holds made of files that were opened since that is to be told; `None` where it is not.
    caught: Option<u64>,
    /// Begun once for each opening, and kept until its end; `None` inside where there is no need or no way.
    order: Option<Option<WriteOrder>>,
    /// Whether something may have been replaced since the last look at what this process runs.
    may_be_outdated: bool,
    /// Whether a new image was no help.
    is_helpless: bool,
    /// Whether what is held is left to somebody else in the end.
    is_guard: bool,
    /// The other volumes below /usr.
    pub(super) beside: Beside<T>,
    /// Whether another volume holds /usr by now.
    is_moved: bool,
}

/// Not before something that uses a hold for a moment is gone, and not so late that it shows.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// The passes over all tasks are dear.
const RESYNC: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Another process has the lock for longer than this one waits, or a disk fails.
const SETTLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

impl<T: Tracker> EventLoop<T> {
    pub(super) fn new(
        keeper: HostKeeper,
        tracker: T,
        metrics: Metrics,
        beside: Beside<T>,
        is_guard: bool,
    ) -> Self {
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
            settling: Retry::new(SETTLE.0, SETTLE.1),
            openers: OpenerWatch::default(),
            is_open: false,
            caught: None,
            order: None,
            may_be_outdated: false,
            is_helpless: false,
            is_guard,
            beside,
            is_moved: false,
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits for the next event of these volumes, and deals with it. Cancelling the wait loses none.
    pub(super) async fn turn(&mut self) {
        tokio::select! {
            news = self.tracker.news() => self.released(&news),
            () = self.batch.wait() => self.reap_batch(),
            () = self.doubtful.wait() => self.look_again(),
            () = self.sealing.wait() => self.seal_again(),
            () = self.resyncing.wait() => self.resync_again(),
            () = self.settling.wait() => self.settle_again(),
            () = self.openers.next() => self.look_after_openers(),
            () = self.beside.turn() => self.measure(),
        }
    }

    /// Mounts have come or gone.
    pub(super) fn look_at_mounts(&mut self) {
        self.is_moved = self.keeper.is_moved();
        self.beside.look(&self.keeper);
        self.measure();
    }

    /// Settles what is on disk and seals, unless somebody has the volume open.
    pub(super) fn start(&mut self) {
        self.beside.look(&self.keeper);
        let reply = self.step("settled", |agent| {
            agent.keeper.end_abandoned(&mut agent.tracker)
        });
        self.settling.set((), matches!(reply, Reply::Error(_)));
        if self.is_open {
            self.await_newcomers();
        }
        self.list_holds();
        self.measure();
    }

    fn settle_again(&mut self) {
        if !self.settling.due().is_empty() {
            self.start();
        }
    }

    /// Whether it is this volume's.
    pub(super) fn keeps(&self, volume: &Volume) -> bool {
        self.keeper.volume() == volume
    }

    /// Its volume.
    pub(super) fn volume(&self) -> &Volume {
        self.keeper.volume()
    }

    /// What of it stands in the metrics of the whole.
    pub(super) fn figures(&self) -> Option<Figures> {
        Some(Figures {
            mount_point: self.volume().mount_point.display().to_string(),
            level: self.keeper.level().ok()?,
            holds: self.holds.len(),
        })
    }

    fn failed(&self, what: &str, error: &impl std::error::Error) {
        self.metrics.errors.inc();
        tracing::error!("{what}: {error}");
    }

    fn step(
        &mut self,
        event: &'static str,
        step: impl FnOnce(&mut Self) -> Result<Outcome, Error>,
    ) -> Reply {
        let result = step(self);
        if let Ok(outcome) = &result {
            self.is_open = !outcome.open_for.is_empty();
            self.may_be_outdated |= !self.is_open;
        }
        self.log(event, &result);
        match result {
            Ok(outcome) => Reply::Done(Outcome {
                watched: outcome.watched && !self.is_guard,
                ..outcome
            }),
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
            Ok((level, wanted, openings)) => {
                self.metrics.set_levels(level, wanted);
                let is_open = openings.openers().next().is_some();
                let was_open = std::mem::replace(&mut self.is_open, is_open);
                if was_open && !is_open {
                    // By none of this agent's steps: where rousr has been removed apt's last hook seals by
                    // mount(8), and tells nobody.
                    return self.start();
                }
                if !is_open {
                    self.end_newcomers();
                }
                self.follow_seal(!is_open && level < wanted);
                self.openers.follow(&openings, self.keeper.admin_dir());
                self.keep_order(is_open);
            }
            Err(error) => self.failed("cannot tell the level", &error),
        }
        self.metrics
            .set_holds(self.holds.len(), self.holds.values().sum());
        self.metrics.set_tracker(&self.tracker.health());
        self.metrics.set_beside(self.beside.figures());
    }

    /// A power cut must not leave a database of dpkg's that is ahead of the volume.
    fn keep_order(&mut self, is_open: bool) {
        if !is_open {
            self.order = None;
        } else if self.order.is_none() {
            // Once for each opening, however that goes.
            let volume = &self.keeper.volume().mount_point;
            match WriteOrder::keep(self.keeper.admin_dir(), volume) {
                Ok(order) => self.order = Some(order),
                Err(error) => {
                    tracing::warn!(
                        "dpkg's database may reach the disk before {}: {error}",
                        volume.display()
                    );
                    self.order = Some(None);
                }
            }
        }
    }

    fn levels(&self) -> Result<(Level, Level, Openings), Error> {
        let wanted = self.keeper.wanted()?;
        let openings = self.keeper.openings()?;
        let openings = openings.unwrap_or_else(|| Openings::new(wanted));
        Ok((self.keeper.level()?, wanted, openings))
    }
}
