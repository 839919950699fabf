//! Closes holders one by one, and sees when their holds are gone.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use super::holds::Holds;
use crate::HOLDS;

/// From a reap to the next close, at least: the agent sleeps again.
const PAUSE: Duration = Duration::from_millis(20);

/// Tells of names that go from the hold directory, without the agent's help.
pub(super) struct Releases {
    watch: OwnedFd,
    limit: Duration,
    spread: Duration,
}

/// What became of the holds.
pub(super) struct Outcome {
    /// Microseconds from just before the close to the news of the unlink.
    pub(super) latencies: Vec<u64>,
    /// Holds that were still there at the limit.
    pub(super) missed: usize,
}

impl Releases {
    /// Waits `limit` for each hold, and lets up to `spread` pass before the next close, so that the
    /// closes do not keep step with who polls.
    pub(super) fn new(limit: Duration, spread: Duration) -> anyhow::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, HOLDS, inotify::WatchFlags::DELETE)
            .with_context(|| format!("cannot watch {HOLDS}"))?;
        Ok(Self {
            watch,
            limit,
            spread,
        })
    }

    /// Closes every holder, each once the last hold is gone and `settled` says so.
    pub(super) fn measure(
        &self,
        holds: Holds,
        settled: impl Fn() -> bool,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome {
            latencies: Vec::new(),
            missed: 0,
        };
        for ((inode, holder), phase) in holds.into_inner().into_iter().zip(phases()) {
            let closed = Instant::now();
            drop(holder);
            match self.wait_for(inode, closed)? {
                Some(latency) => outcome
                    .latencies
                    .push(latency.as_micros().try_into().unwrap_or(u64::MAX)),
                None => outcome.missed += 1,
            }
            let end = Instant::now() + self.limit;
            while !settled() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(PAUSE + self.spread.mul_f64(phase));
        }
        Ok(outcome)
    }

    /// Waits until the hold of `inode` is gone; how long after `closed` that was, unless it stayed.
    fn wait_for(&self, inode: u64, closed: Instant) -> anyhow::Result<Option<Duration>> {
        let wanted = inode.to_string();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            let left = self.limit.saturating_sub(closed.elapsed());
            let timeout = Timespec::try_from(left).context("a limit of seconds fits")?;
            let mut polled = [PollFd::new(&self.watch, PollFlags::IN)];
            if poll(&mut polled, Some(&timeout))? == 0 {
                return Ok(None);
            }
            let now = closed.elapsed();
            let mut events = inotify::Reader::new(self.watch.as_fd(), &mut buffer);
            loop {
                let event = events.next()?;
                if event
                    .file_name()
                    .is_some_and(|name| name.to_bytes() == wanted.as_bytes())
                {
                    return Ok(Some(now));
                }
                if events.is_buffer_empty() {
                    break;
                }
            }
        }
    }
}

/// Fractions of 1 that fill it evenly however many are taken: multiples of the golden ratio.
fn phases() -> impl Iterator<Item = f64> {
    (1_u32..).map(|count| (f64::from(count) * 0.618_033_988_75).fract())
}
