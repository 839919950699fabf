//! When to try again to seal what something was in the way of.
//!
//! A release that may have unblocked it leads to a try at once. Some blockers, as a working directory,
//! go silently: for them there is a timer. Where no seal is pending there is neither.
//!
//! Each failed try costs the kernel the volume's unused directory entries (`shrink_dcache_sb` in
//! `reconfigure_super`, fs/super.c), hence the growing pauses of both.

use std::{future, time::Duration};

use tokio::time::{Instant, sleep_until};

/// The timer's pauses double from the first to the last.
const TIMER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Between tries that releases lead to: the first leaves time for what goes together with what was
/// told, and the last is short enough to be at once for people.
const RELEASES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// A try fails where the inode goes a moment later than its file: it is made once more.
const SECOND_LOOK: Duration = Duration::from_millis(20);

/// What leads to a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// Something went that may have been in the way.
    Release,
    /// Time has passed.
    Timer,
}

impl Cause {
    /// The word for it in the log and in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Timer => "timer",
        }
    }
}

/// Tries to come.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    timer: Turn,
    /// The pause before a try that a release leads to.
    pause: Duration,
    /// That try.
    release: Option<Instant>,
    /// The one after it.
    second: Option<Instant>,
    last: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    pause: Duration,
}

impl Sealing {
    /// Whether a seal is pending.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// One is pending, or none any more. One that was pending before goes on with its pauses.
    pub(super) fn set(&mut self, pending: bool) {
        if pending {
            self.pending.get_or_insert_with(|| Pending {
                timer: Turn {
                    due: Instant::now() + TIMER.0,
                    pause: TIMER.0,
                },
                pause: RELEASES.0,
                release: None,
                second: None,
                last: None,
            });
        } else {
            self.pending = None;
        }
    }

    /// Something went that may have been in the way.
    pub(super) fn released(&mut self) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let soon = Instant::now() + RELEASES.0;
        let after_last = pending.last.map_or(soon, |last| last + pending.pause);
        pending.release.get_or_insert(soon.max(after_last));
    }

    /// Waits for the next try; for ever where there is none.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let next = self.pending.and_then(|pending| {
            let timer = Some(pending.timer.due);
            [timer, pending.release, pending.second]
                .into_iter()
                .flatten()
                .min()
        });
        async move {
            match next {
                Some(next) => sleep_until(next).await,
                None => future::pending().await,
            }
        }
    }

    /// What leads to a try now, if anything does; the next pause is twice as long.
    pub(super) fn due(&mut self) -> Option<Cause> {
        let now = Instant::now();
        let pending = self.pending.as_mut()?;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let cause = if is_due(pending.release) {
            pending.release = None;
            pending.second = Some(now + SECOND_LOOK);
            pending.pause = (pending.pause * 2).min(RELEASES.1);
            Cause::Release
        } else if is_due(pending.second) {
            pending.second = None;
            Cause::Release
        } else if pending.timer.due <= now {
            let Turn { due, pause } = &mut pending.timer;
            *pause = (*pause * 2).min(TIMER.1);
            *due = now + *pause;
            Cause::Timer
        } else {
            return None;
        };
        pending.last = Some(now);
        Some(cause)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn pending() -> Sealing {
        let mut sealing = Sealing::default();
        sealing.set(true);
        sealing
    }

    /// The next tries with their times since `begin`, none of which seals.
    async fn tries(sealing: &mut Sealing, begin: Instant, count: usize) -> Vec<(Cause, Duration)> {
        let mut tries = Vec::new();
        while tries.len() < count {
            sealing.wait().await;
            let cause = sealing.due().expect("is due");
            sealing.set(true);
            tries.push((cause, begin.elapsed()));
        }
        tries
    }

    fn milliseconds(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_release_the_timers_pauses_grow_and_end() {
        let mut sealing = pending();
        let begin = Instant::now();
        let tries = tries(&mut sealing, begin, 20).await;
        assert!(tries.iter().all(|&(cause, _)| cause == Cause::Timer));
        let times: Vec<Duration> = tries.iter().map(|&(_, time)| time).collect();
        assert_eq!(times[..3], [500, 1500, 3500].map(milliseconds));
        assert_eq!(times[19] - times[18], TIMER.1);
        sealing.set(false);
        sealing.released();
        assert_eq!(sealing.due(), None);
        assert!(
            timeout(LONG, sealing.wait()).await.is_err(),
            "there is no timer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_does_not_wait_for_the_timer() {
        let mut sealing = pending();
        let begin = Instant::now();
        tries(&mut sealing, begin, 10).await;
        let begin = Instant::now();
        sealing.released();
        let tries = tries(&mut sealing, begin, 3).await;
        assert_eq!(tries[0], (Cause::Release, milliseconds(2)));
        assert_eq!(tries[1], (Cause::Release, milliseconds(22)));
        assert_eq!(tries[2].0, Cause::Timer);
    }

    #[tokio::test(start_paused = true)]
    async fn releases_without_end_lead_to_few_tries_and_none_comes_late() {
        let mut sealing = pending();
        let begin = Instant::now();
        let mut tried = Vec::new();
        while begin.elapsed() < Duration::from_secs(10) {
            sealing.released();
            if timeout(milliseconds(1), sealing.wait()).await.is_ok() && sealing.due().is_some() {
                tried.push(begin.elapsed());
            }
        }
        assert!(tried.len() < 70, "{}", tried.len());
        let gaps = tried.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() <= Some(milliseconds(510)), "{tried:?}");
    }
}
