//! Holds go: what waits for a window, and what became of it.

use std::time::Duration;

use tokio::time::Instant;

use super::EventLoop;
use crate::{
    agent::{batch::Waiting, last_holder::last_holders},
    seal::Level,
    track::{Closer, News, Release, Tracker},
    transaction::{Reaped, Reaping, history::What},
};

/// Paths named in a line of the log.
const NAMED: usize = 3;

impl<T: Tracker> EventLoop<T> {
    /// Inodes lost a holder: those without any go with the next window. Others were opened.
    pub(in crate::agent) fn released(&mut self, news: &News) {
        let releases = news.releases.iter();
        self.add_to_batch(releases.map(|&release| (release.inode, Some(release))));
        if news.unblocked {
            self.sealing.released();
        }
        if !news.newcomers.is_empty() {
            self.catch(&news.newcomers);
        }
        if news.lost {
            self.resync("the kernel side may have lost an event");
        }
    }

    /// Holds that the kernel would not give up: their last user may be gone.
    pub(in crate::agent) fn look_again(&mut self) {
        let due = self.doubtful.due();
        self.add_to_batch(due.into_iter().map(|inode| (inode, None)));
    }

    fn add_to_batch(&mut self, inodes: impl IntoIterator<Item = (u64, Option<Release>)>) {
        let due = self.pace.next(Instant::now());
        self.batch.add(inodes, due);
    }

    /// A window may open for all that wait for one.
    pub(in crate::agent) fn reap_batch(&mut self) {
        let waiting = self.batch.take();
        self.reap(&waiting);
        self.measure();
    }

    fn reap(&mut self, waiting: &Waiting) {
        let failed = match self.keeper.reap(&mut self.tracker, waiting.keys().copied()) {
            Ok(reaping) => {
                self.reaped(&reaping, waiting);
                !reaping.errors.is_empty()
            }
            Err(error) => {
                self.failed("cannot reap", &error);
                true
            }
        };
        let inodes: Vec<u64> = waiting.keys().copied().collect();
        self.look_again_at(&inodes, failed);
    }

    /// A hold with a count of zero that is still there is used by something that no count knows. Where
    /// something `failed`, whatever is still there may have lost its last holder.
    pub(super) fn look_again_at(&mut self, inodes: &[u64], failed: bool) {
        for &inode in inodes {
            let is_doubtful = failed || self.tracker.holders(inode) == Some(0);
            let is_held = self.holds.contains_key(&inode);
            self.doubtful.set(inode, is_held && is_doubtful);
        }
    }

    /// Counts may be wrong: they are brought into agreement with the kernel, and every hold is looked
    /// at, as an event that was lost may have been its last.
    pub(super) fn resync(&mut self, why: &str) {
        tracing::warn!("{why}; comparing every count with the kernel's");
        let resynced = self.tracker.resync();
        if let Err(error) = &resynced {
            self.failed("counts may be wrong", error);
        }
        self.resyncing.set((), resynced.is_err());
        let all: Vec<u64> = self.holds.keys().copied().collect();
        self.add_to_batch(all.into_iter().map(|inode| (inode, None)));
    }

    /// A comparison that failed is made again.
    pub(in crate::agent) fn resync_again(&mut self) {
        if !self.resyncing.due().is_empty() {
            self.resync("counts may be wrong");
        }
    }

    fn reaped(&mut self, reaping: &Reaping, waiting: &Waiting) {
        for hold in &reaping.reaped {
            self.holds.remove(&hold.inode);
            self.metrics.reaped.inc();
            if let Some(latency) = since_release(hold, hold.at, waiting) {
                self.metrics.latency.observe(latency.as_secs_f64());
            }
        }
        for inode in &reaping.gone {
            self.holds.remove(inode);
        }
        for error in &reaping.errors {
            self.metrics.errors.inc();
            tracing::error!("{error}");
        }
        self.remember(reaping, waiting);
        let lasted = self.count_windows(reaping.reaped.len() as u64);
        if !reaping.reaped.is_empty() {
            log(reaping, waiting, lasted);
        }
    }

    /// For `rousr history`.
    fn remember(&self, reaping: &Reaping, waiting: &Waiting) {
        let closer = |hold: &Reaped| waiting.get(&hold.inode)?.as_ref()?.by;
        let closers: Vec<Option<Closer>> = reaping.reaped.iter().map(closer).collect();
        let holds = reaping.reaped.iter().zip(last_holders(&closers));
        let what = holds.map(|(hold, last_holder)| What::Reaped {
            hold: Box::new(hold.record.clone()),
            last_holder,
        });
        if let Err(error) = self.keeper.remember(what) {
            self.failed("not in the history", &error);
        }
    }

    /// Takes note of the windows since the last call, which removed so many holds. Tells how long the
    /// last one was open.
    pub(super) fn count_windows(&mut self, removed: u64) -> Option<Duration> {
        let windows = self.keeper.take_windows();
        for window in &windows {
            self.pace.closed(Instant::now());
            self.metrics.windows.inc();
            self.metrics.window.observe(window.as_secs_f64());
            self.metrics.window_reaps.observe(removed as f64);
        }
        windows.last().copied()
    }
}

/// One line for all that went in one window.
fn log(reaping: &Reaping, waiting: &Waiting, lasted: Option<Duration>) {
    let slowest = |at: fn(&Reaped) -> u64| {
        let all = reaping.reaped.iter();
        all.filter_map(|hold| since_release(hold, at(hold), waiting))
            .max()
            .map(microseconds)
    };
    for hold in &reaping.reaped {
        tracing::debug!(inode = hold.inode, bytes = hold.bytes, path = ?hold.path(), "removed");
    }
    tracing::info!(
        holds = reaping.reaped.len(),
        path = named(&reaping.reaped),
        bytes = reaping.reaped.iter().map(|hold| hold.bytes).sum::<u64>(),
        verdict_us = slowest(|hold| hold.verdict),
        latency_us = slowest(|hold| hold.at),
        window_us = lasted.map(microseconds),
        level = reaping.level.map(Level::as_str),
        "reaped",
    );
}

/// The first few paths, and how many more there are.
fn named(reaped: &[Reaped]) -> String {
    let name = |hold: &Reaped| match hold.path() {
        Some(path) => path.display().to_string(),
        None => format!("inode {}", hold.inode),
    };
    let names: Vec<String> = reaped.iter().take(NAMED).map(name).collect();
    match reaped.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn since_release(hold: &Reaped, at: u64, waiting: &Waiting) -> Option<Duration> {
    let released = waiting.get(&hold.inode)?.as_ref()?;
    Some(Duration::from_nanos(at.saturating_sub(released.at)))
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::hold::ledger::{Event, Record};

    /// Of all but the first the ledger knows a path.
    fn record(inode: u64) -> Record {
        let path = (inode > 1).then(|| format!("/usr/lib/{inode}").into());
        Record {
            path,
            ..Record::bare(Event::Reaped, inode, SystemTime::UNIX_EPOCH)
        }
    }

    #[test]
    fn a_line_names_a_few() {
        let reaped = |count: u64| -> Vec<Reaped> {
            (1..=count)
                .map(|inode| Reaped {
                    inode,
                    bytes: 4096,
                    verdict: 20,
                    at: 30,
                    record: record(inode),
                })
                .collect()
        };
        assert_eq!(named(&reaped(1)), "inode 1");
        assert_eq!(named(&reaped(2)), "inode 1, /usr/lib/2");
        assert_eq!(
            named(&reaped(5)),
            "inode 1, /usr/lib/2, /usr/lib/3 and 2 more"
        );
    }

    #[test]
    fn what_was_not_released_has_no_latency() {
        let hold = Reaped {
            inode: 7,
            bytes: 0,
            verdict: 20,
            at: 30,
            record: record(7),
        };
        let release = Release {
            inode: 7,
            at: 10,
            by: None,
        };
        let since = |waiting| since_release(&hold, hold.at, &Waiting::from(waiting));
        assert_eq!(since([(7, Some(release))]), Some(Duration::from_nanos(20)));
        assert_eq!(since([(7, None)]), None);
        assert_eq!(since([(8, Some(release))]), None);
    }
}
