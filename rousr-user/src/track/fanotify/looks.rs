//! When to look at which inode.
//!
//! The kernel tells of a close at the start of its last `__fput`, before its own counters drop: a
//! look that comes at once may find the file still open. Nothing tells when they have dropped, so
//! the look is repeated.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::track::Release;

/// From one look to the next, after the one that comes at once.
const DELAYS: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(2),
];

/// The looks that are to come.
#[derive(Debug, Default)]
pub(super) struct Looks {
    due: BTreeSet<(Instant, u64)>,
    by_inode: HashMap<u64, Look>,
}

#[derive(Debug)]
struct Look {
    due: Instant,
    /// `CLOCK_MONOTONIC` of the close, nanoseconds.
    at: u64,
    then: &'static [Duration],
}

impl Looks {
    /// Looks now, and again as [`DELAYS`] say.
    pub(super) fn now_and_again(&mut self, release: Release, now: Instant) {
        self.schedule(release, now, &DELAYS);
    }

    /// Looks once, when the kernel's counters have surely dropped.
    pub(super) fn once(&mut self, release: Release, now: Instant) {
        let [.., last] = DELAYS;
        // A look that is to come sooner has this one at its end.
        if !self.by_inode.contains_key(&release.inode) {
            self.schedule(release, now + last, &[]);
        }
    }

    pub(super) fn forget(&mut self, inode: u64) {
        if let Some(look) = self.by_inode.remove(&inode) {
            self.due.remove(&(look.due, inode));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due)
    }

    /// Takes what is due, in that order.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Release> {
        let mut releases = Vec::new();
        while let Some(&(due, inode)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(Look { at, then, .. }) = self.by_inode.remove(&inode) else {
                continue;
            };
            let release = Release {
                inode,
                at,
                by: None,
            };
            releases.push(release);
            if let [delay, then @ ..] = then {
                self.schedule(release, now + *delay, then);
            }
        }
        releases
    }

    fn schedule(&mut self, release: Release, due: Instant, then: &'static [Duration]) {
        let Release { inode, at, .. } = release;
        self.forget(inode);
        self.due.insert((due, inode));
        self.by_inode.insert(inode, Look { due, at, then });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(inode: u64) -> Release {
        Release {
            inode,
            at: inode,
            by: None,
        }
    }

    /// Looks at what is due until nothing is to come: after how many milliseconds at which inode.
    fn run(looks: &mut Looks, start: Instant) -> Vec<(u128, u64)> {
        let mut seen = Vec::new();
        while let Some(due) = looks.next() {
            for release in looks.take(due) {
                seen.push(((due - start).as_millis(), release.inode));
            }
        }
        seen
    }

    #[test]
    fn a_look_is_repeated_with_a_growing_delay_and_ends() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        looks.now_and_again(release(7), start);
        let expected = [0, 2, 22, 222, 2222].map(|after| (after, 7));
        assert_eq!(run(&mut looks, start), expected);
    }

    #[test]
    fn another_close_begins_anew() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        looks.now_and_again(release(7), start);
        assert_eq!(looks.take(start), [release(7)]);
        let later = start + Duration::from_millis(1);
        let released = Release {
            at: 9,
            ..release(7)
        };
        looks.now_and_again(released, later);
        assert_eq!(looks.take(later), [released]);
        assert_eq!(looks.next(), Some(later + DELAYS[0]));
        assert_eq!(run(&mut looks, later).len(), DELAYS.len());
    }

    #[test]
    fn one_more_look_comes_late_and_disturbs_no_other() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        looks.now_and_again(release(1), start);
        looks.once(release(1), start);
        looks.once(release(2), start);
        let seen = run(&mut looks, start);
        assert_eq!(seen.iter().filter(|look| look.1 == 1).count(), 5);
        assert!(seen.contains(&(2000, 2)), "{seen:?}");
    }

    #[test]
    fn a_forgotten_inode_is_not_looked_at() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        looks.now_and_again(release(1), start);
        looks.now_and_again(release(2), start);
        looks.forget(1);
        assert_eq!(looks.take(start), [release(2)]);
        looks.forget(2);
        assert_eq!(looks.next(), None);
    }
}
