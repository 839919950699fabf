//! The exact tracker: BPF programs count every open file of the watched inodes.
//!
//! The programs are attached only while something is to be told, so a system without holds pays
//! nothing for them.

mod counting;
mod filter;
mod hooks;
mod join;
mod load;
mod maps;
mod newcomers;
mod offsets;
mod pass;
mod pins;
mod programs;
mod reach;
mod rings;
mod truth;
mod unavailable;
mod visits;

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    os::fd::BorrowedFd,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use rousr_ebpf::{Loss, Reason, Release as Record, Untold};
use tokio::{io::unix::AsyncFd, time};

pub use load::{RING_BYTES, Settings};
pub use pins::{PinError, detach_all};
pub use unavailable::Unavailable;
pub use visits::Visits;

use counting::{Counting, failed};
use hooks::Hooks;
use load::Loaded;
use rings::{Records, next};

use super::{Closer, Comparison, Health, News, Pin, Release, TrackError, Tracker};
use crate::sys::{readiness::readable, step::step};

/// The compiled programs.
pub(crate) const OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/rousr.bpf.o"));

/// Without the security hooks a skipped program may be the last one to tell: the kernel's count of
/// skipped ones is looked at this often, while something is watched.
const MISSES_PERIOD: Duration = Duration::from_secs(2);

/// Counts by BPF programs on one superblock.
pub struct BpfTracker {
    counting: Counting,
    releases: AsyncFd<RingBuf<MapData>>,
    newcomers: AsyncFd<RingBuf<MapData>>,
    /// Whether the kernel skipped a program since the last resync.
    is_skipped: bool,
    is_first_rest: bool,
    tally: Tally,
}

/// What happened since the start.
#[derive(Default)]
struct Tally {
    releases: u64,
    resyncs: u64,
    losses: u64,
    misses: u64,
}

impl BpfTracker {
    /// Loads the programs, over the maps that an agent before this one has left. Nothing is
    /// attached yet.
    ///
    /// # Errors
    ///
    /// Says why the kernel cannot run them and what would have to change. Must be called within
    /// a tokio runtime.
    pub fn load(settings: Settings) -> Result<Self, Unavailable> {
        let Loaded {
            programs,
            maps,
            releases,
            newcomers,
        } = load::load(settings)?;
        let mut tracker = Self {
            counting: Counting::new(programs, maps),
            releases: readable(releases).map_err(Unavailable::RingBuffer)?,
            newcomers: readable(newcomers).map_err(Unavailable::RingBuffer)?,
            is_skipped: false,
            is_first_rest: true,
            tally: Tally::default(),
        };
        // What was lost before is answered by the look at every hold that a start is.
        tracker.tally.losses = tracker.losses();
        Ok(tracker)
    }

    fn losses(&self) -> u64 {
        [Loss::RingFull, Loss::Birth]
            .into_iter()
            .map(|kind| self.counting.maps.lost(kind))
            .sum()
    }

    /// How often the kernel skipped a program since the last question; nothing with the security
    /// hooks, of which it skips none.
    fn new_misses(&mut self) -> u64 {
        if !self.may_skip() {
            return 0;
        }
        match self.counting.programs.misses() {
            Ok(misses) => {
                let new = misses.saturating_sub(self.tally.misses);
                self.tally.misses = misses;
                new
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether a BPF program was skipped");
                1
            }
        }
    }

    /// Whether the kernel may skip programs that matter.
    fn may_skip(&self) -> bool {
        self.counting.programs.hooks() == Hooks::Fentry && self.counting.watched() > 0
    }

    /// Waits for records; for none of them at most as long as a skipped program may stay unnoticed.
    async fn next_records(&mut self) -> Records {
        let may_skip = self.may_skip();
        tokio::select! {
            releases = next(&mut self.releases) => Records::Releases(releases),
            newcomers = next(&mut self.newcomers) => Records::Newcomers(newcomers),
            () = time::sleep(MISSES_PERIOD), if may_skip => Records::Releases(Vec::new()),
        }
    }

    /// Whether something went that a pending seal may have waited for.
    fn unblocks(records: &[Record]) -> bool {
        records
            .iter()
            .any(|record| record.reason == Reason::Unblocked as u32)
    }

    /// The releases among the records; a count that may be wrong is put right before.
    fn releases_of(&mut self, records: &[Record]) -> Vec<Release> {
        let mut releases = Vec::new();
        let mut doubtful = HashSet::new();
        for record in records {
            // The inode may have been forgotten while the record was under way.
            let Some(inode) = self.counting.number(record.inode) else {
                continue;
            };
            if record.reason == Reason::Lost as u32 {
                continue;
            }
            let is_last = record.reason == Reason::LastHolder as u32;
            if !is_last && self.counting.holders(inode) > Some(0) {
                doubtful.insert(inode);
            }
            releases.push(Release {
                inode,
                at: record.at,
                by: Some(Closer {
                    pid: record.process,
                    comm: record.name,
                    control_group: record.control_group,
                }),
            });
        }
        if let Err(error) = self.counting.correct(doubtful.into_iter().collect()) {
            tracing::error!(%error, "a count may be wrong");
        }
        self.tally.releases += releases.len() as u64;
        releases
    }
}

impl Tracker for BpfTracker {
    fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError> {
        step("watch");
        if pins.is_empty() {
            return Ok(());
        }
        self.counting.watch(pins)
    }

    fn unwatch(&mut self, inode: u64) {
        self.counting.unwatch(inode);
    }

    fn rest(&mut self) {
        if let Err(error) = self.counting.rest() {
            tracing::error!(%error, "counts may be wrong");
        }
        if mem::take(&mut self.is_first_rest) {
            self.counting.programs.drop_others();
        }
    }

    fn holders(&self, inode: u64) -> Option<u64> {
        self.counting.holders(inode)
    }

    fn references(&self, inode: u64) -> Option<u64> {
        self.counting.references(inode)
    }

    async fn news(&mut self) -> News {
        loop {
            if self.counting.is_new {
                return News {
                    lost: true,
                    ..News::default()
                };
            }
            let records = match self.next_records().await {
                Records::Releases(records) => records,
                Records::Newcomers(newcomers) => {
                    return News {
                        newcomers: newcomers.iter().map(newcomers::told).collect(),
                        ..News::default()
                    };
                }
            };
            let releases = self.releases_of(&records);
            let unblocked = Self::unblocks(&records);
            // Read after the ring: a program counts a loss before it tries to wake us.
            let losses = self.losses();
            self.is_skipped |= self.new_misses() > 0;
            let lost = losses != self.tally.losses || self.is_skipped;
            self.tally.losses = losses;
            if lost || unblocked || !releases.is_empty() {
                return News {
                    releases,
                    lost,
                    unblocked,
                    newcomers: Vec::new(),
                };
            }
        }
    }

    fn resync(&mut self) -> Result<(), TrackError> {
        if self.counting.watched() == 0 {
            return Ok(());
        }
        self.tally.resyncs += 1;
        let is_skipped = mem::take(&mut self.is_skipped);
        self.counting.resync(is_skipped)
    }

    fn await_unblocking(&mut self, volume: Option<BorrowedFd<'_>>) -> Result<(), TrackError> {
        self.counting.await_unblocking(volume)
    }

    fn await_newcomers(&mut self, volume: Option<BorrowedFd<'_>>) -> Result<(), TrackError> {
        step("await newcomers");
        self.counting.await_newcomers(volume)
    }

    fn compare(&mut self) -> Result<Vec<Comparison>, TrackError> {
        self.counting.compare()
    }

    fn visits(&mut self) -> Result<Option<Visits>, TrackError> {
        let visits = self.counting.programs.visits();
        visits.map(Some).map_err(failed("visit all tasks"))
    }

    fn health(&self) -> Health {
        let losses = BTreeMap::from([
            ("ring-full", self.counting.maps.lost(Loss::RingFull)),
            ("birth", self.counting.maps.lost(Loss::Birth)),
            ("recursion", self.tally.misses),
        ]);
        Health {
            tracker: "bpf",
            hooks: self.counting.programs.hooks().name(),
            attached: self.counting.programs.is_attached(),
            pinned: self.counting.programs.is_pinned(),
            watched: self.counting.watched(),
            releases: self.tally.releases,
            resyncs: self.tally.resyncs,
            corrections: self.counting.corrections,
            losses,
            untold: BTreeMap::from([
                ("too-many", self.counting.maps.untold(Untold::TooMany)),
                ("ring-full", self.counting.maps.untold(Untold::RingFull)),
            ]),
            missing: None,
        }
    }
}
