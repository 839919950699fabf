//! The exact tracker: BPF programs count every open file of the watched inodes.
//!
//! The programs are attached only while an inode is watched, so a system without holds pays
//! nothing for them.

mod filter;
mod hooks;
mod join;
mod load;
mod maps;
mod offsets;
mod pass;
mod pins;
mod programs;
mod reach;
mod truth;
mod unavailable;
mod visits;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{File, OpenOptions},
    future, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    thread,
    time::Duration,
};

use aya::maps::{MapData, MapError, RingBuf};
use rousr_ebpf::{Loss, Reason, Release as Record, Truth};
use rustix::fs::OFlags;
use tokio::{io::unix::AsyncFd, time};
use zerocopy::FromBytes as _;

pub use load::{RING_BYTES, Settings};
pub use pins::{PinError, detach_all};
pub use unavailable::Unavailable;
pub use visits::Visits;

use hooks::Hooks;
use load::Loaded;
use maps::Maps;
use programs::Programs;
use reach::Reach;

use super::{Comparison, Health, News, Pin, Release, TrackError, Tracker};
use crate::sys::readiness::readable;

/// The compiled programs.
pub(crate) const OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/rousr.bpf.o"));

/// Records taken from the ring buffer in one go, so that a flood cannot starve the agent's
/// other work.
const MAX_BATCH: usize = 4096;

/// How often a count is compared with the kernel's before a difference is believed: between the
/// kernel's counter and ours a file's opening or release can be under way.
const LOOKS: u32 = 8;

/// Without the security hooks a skipped program may be the last one to tell: the kernel's count of
/// skipped ones is looked at this often, while something is watched.
const MISSES_PERIOD: Duration = Duration::from_secs(2);

/// Counts by BPF programs on one superblock.
pub struct BpfTracker {
    programs: Programs,
    maps: Maps,
    releases: AsyncFd<RingBuf<MapData>>,
    inodes: HashMap<u64, Watched>,
    numbers: HashMap<u64, u64>,
    /// Addresses that an agent before this one watched and this one does not yet.
    inherited: HashSet<u64>,
    /// Whether files of forgotten inodes may be left in the map.
    is_littered: bool,
    /// Whether all counts began anew, so that a release in between was told by nobody.
    is_new: bool,
    /// Whether the kernel skipped a program since the last resync.
    is_skipped: bool,
    is_first_rest: bool,
    tally: Tally,
}

struct Watched {
    address: u64,
    /// Keeps the inode in memory, and with it its address.
    pin: OwnedFd,
}

/// What happened since the start.
#[derive(Default)]
struct Tally {
    releases: u64,
    resyncs: u64,
    corrections: u64,
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
        } = load::load(settings)?;
        let mut tracker = Self {
            releases: readable(releases).map_err(Unavailable::RingBuffer)?,
            inodes: HashMap::new(),
            numbers: HashMap::new(),
            inherited: maps.watched(),
            is_littered: false,
            is_new: false,
            is_skipped: false,
            is_first_rest: true,
            tally: Tally::default(),
            programs,
            maps,
        };
        // What was lost before is answered by the look at every hold that a start is.
        tracker.tally.losses = tracker.losses();
        Ok(tracker)
    }

    /// Finds the addresses of the pins that are not watched yet, by this process's own descriptors.
    fn locate(&mut self, pins: Vec<Pin>) -> Result<Vec<(u64, Watched)>, TrackError> {
        let own = self
            .programs
            .own_files()
            .map_err(failed("read the addresses of the holds' inodes"))?;
        if let Some(any) = own.values().next() {
            self.maps
                .anchor(any.superblock)
                .map_err(failed("write the filter"))?;
        }
        pins.into_iter()
            .filter(|pin| !self.inodes.contains_key(&pin.inode))
            .map(|pin| {
                let seen = own.get(&pin.file.as_raw_fd()).ok_or_else(|| {
                    failed("find the address of a hold's inode")(format!(
                        "inode {} is not on the tracked filesystem",
                        pin.inode
                    ))
                })?;
                let watched = Watched {
                    address: seen.inode,
                    pin: pin.file,
                };
                Ok((pin.inode, watched))
            })
            .collect()
    }

    /// Enters inodes and returns those whose count is kept from an agent before this one.
    fn enter(&mut self, located: Vec<(u64, Watched)>) -> Result<Vec<u64>, TrackError> {
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        let inherited = std::mem::take(&mut self.inherited);
        for (inode, watched) in located {
            match inherited.contains(&watched.address) {
                true => kept.push(inode),
                false => fresh.push(watched.address),
            }
            self.numbers.insert(watched.address, inode);
            self.inodes.insert(inode, watched);
        }
        if !inherited.is_empty() && !self.is_whole(&kept, &inherited)? {
            for address in inherited {
                self.maps.forget(address);
            }
            self.begin_anew()?;
            return Ok(Vec::new());
        }
        if !fresh.is_empty() {
            self.wait()?;
            if self.inodes.len() == fresh.len() {
                self.maps.purge();
            }
            self.maps.enter(fresh).map_err(entering)?;
        }
        Ok(kept)
    }

    /// Whether the counts of an agent before this one can be kept: they are of the held inodes and of
    /// nothing else, and no program can have been skipped meanwhile. An address among them can be
    /// another inode's by now, as nothing has kept it.
    fn is_whole(&mut self, kept: &[u64], inherited: &HashSet<u64>) -> Result<bool, TrackError> {
        self.wait()?;
        Ok(self.programs.hooks() == Hooks::Lsm
            && kept.len() == inherited.len()
            && self.maps.counts_only(inherited))
    }

    /// All counts go back to zero, once no program counts for them any more. Then the open files are
    /// to be counted and every hold to be looked at.
    fn begin_anew(&mut self) -> Result<(), TrackError> {
        self.is_new = true;
        let addresses = self.addresses();
        for &address in &addresses {
            self.maps.forget(address);
        }
        self.wait()?;
        self.maps.purge();
        self.maps.enter(addresses).map_err(entering)
    }

    /// Counts all inodes anew where one of these has a count that stays above the kernel's: a
    /// release was lost.
    fn correct(&mut self, inodes: Vec<u64>) -> Result<(), TrackError> {
        let mut wrong = inodes;
        for look in 0..LOOKS {
            if look > 0 && !wrong.is_empty() {
                thread::sleep(Duration::from_millis(1 << look.min(5)));
            }
            wrong.retain(|&inode| {
                self.look(inode)
                    .is_some_and(|truth| truth.counted > truth::files(&truth))
            });
        }
        if wrong.is_empty() {
            return Ok(());
        }
        tracing::warn!(inodes = wrong.len(), "counts were too high; counting anew");
        self.tally.corrections += wrong.len() as u64;
        self.begin_anew()?;
        self.count_open_files()
    }

    fn addresses(&self) -> HashSet<u64> {
        self.inodes
            .values()
            .map(|watched| watched.address)
            .collect()
    }

    fn wait(&mut self) -> Result<(), TrackError> {
        self.maps
            .wait()
            .map_err(failed("wait for the BPF programs"))
    }

    fn count_open_files(&mut self) -> Result<(), TrackError> {
        self.programs
            .count_open_files()
            .map(drop)
            .map_err(failed("count the files open already"))
    }

    /// Opens a watched inode, so that the programs tell what the kernel knows. `None` where the
    /// kernel skipped the program.
    fn look(&mut self, inode: u64) -> Option<Truth> {
        let watched = self.inodes.get(&inode)?;
        self.maps.clear_truth().ok()?;
        drop(open_pin(&watched.pin).ok()?);
        self.maps
            .truth()
            .filter(|truth| truth.inode == watched.address)
    }

    fn losses(&self) -> u64 {
        [Loss::RingFull, Loss::Birth]
            .into_iter()
            .map(|kind| self.maps.lost(kind))
            .sum()
    }

    /// How often the kernel skipped a program since the last question; nothing with the security
    /// hooks, of which it skips none.
    fn new_misses(&mut self) -> u64 {
        if self.programs.hooks() == Hooks::Lsm || self.inodes.is_empty() {
            return 0;
        }
        match self.programs.misses() {
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

    /// Waits for records; for none of them at most as long as a skipped program may stay unnoticed.
    async fn next_records(&mut self) -> Vec<Record> {
        let skips = self.programs.hooks() == Hooks::Fentry && !self.inodes.is_empty();
        let readable = self.releases.readable_mut();
        let guard = if skips {
            match time::timeout(MISSES_PERIOD, readable).await {
                Ok(guard) => guard,
                Err(_) => return Vec::new(),
            }
        } else {
            readable.await
        };
        let mut guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                tracing::error!(%error, "the ring buffer cannot be polled; restart the agent");
                return future::pending().await;
            }
        };
        let (records, is_empty) = drain(guard.get_inner_mut());
        if is_empty {
            // A record that came since makes this a no-op.
            guard.clear_ready();
        }
        records
    }

    /// What is known about one inode, and what tasks reach of it.
    fn comparison(&mut self, inode: u64, reach: &Reach) -> Option<Comparison> {
        let truth = self.look(inode)?;
        let paths = reach.paths(truth.inode);
        Some(Comparison {
            inode,
            counted: truth.counted,
            kernel: truth::files(&truth),
            visible: reach.opened(truth.inode),
            paths,
            pins: truth::unexplained(&truth).saturating_sub(paths),
        })
    }

    /// The releases among the records; a count that may be wrong is put right before.
    fn releases_of(&mut self, records: &[Record]) -> Vec<Release> {
        let mut releases = Vec::new();
        let mut doubtful = HashSet::new();
        for record in records {
            // The inode may have been forgotten while the record was under way.
            let Some(&inode) = self.numbers.get(&record.inode) else {
                continue;
            };
            if record.reason == Reason::Lost as u64 {
                continue;
            }
            let is_last = record.reason == Reason::LastHolder as u64;
            if !is_last && self.holders(inode) > Some(0) {
                doubtful.insert(inode);
            }
            releases.push(Release {
                inode,
                at: record.at,
            });
        }
        if let Err(error) = self.correct(doubtful.into_iter().collect()) {
            tracing::error!(%error, "a count may be wrong");
        }
        self.tally.releases += releases.len() as u64;
        releases
    }
}

impl Tracker for BpfTracker {
    /// First the inodes, then the programs, then the passes: from the attach on each birth and
    /// death is seen, and what was born before is counted by the passes. An open in flight across
    /// the attach can escape both; its death still wakes us, as `Reason::Uncounted`.
    fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError> {
        if pins.is_empty() {
            return Ok(());
        }
        let located = self.locate(pins)?;
        let inherited = self.enter(located)?;
        if !self.programs.is_attached() {
            self.programs
                .attach()
                .map_err(failed("attach the BPF programs"))?;
        }
        self.count_open_files()?;
        self.correct(inherited)?;
        // The caller looks at every hold now.
        self.is_new = false;
        Ok(())
    }

    fn unwatch(&mut self, inode: u64) {
        let Some(watched) = self.inodes.remove(&inode) else {
            return;
        };
        // Without a file that is counted there is nothing of it in the map of files.
        self.is_littered |= self.maps.watched.get(&watched.address, 0).unwrap_or(0) > 0;
        self.numbers.remove(&watched.address);
        self.maps.forget(watched.address);
    }

    fn rest(&mut self) {
        for address in std::mem::take(&mut self.inherited) {
            self.maps.forget(address);
        }
        let is_littered = std::mem::take(&mut self.is_littered);
        if self.inodes.is_empty() {
            self.programs.detach();
        } else if is_littered
            && let Err(error) = self.begin_anew().and_then(|()| self.count_open_files())
        {
            tracing::error!(%error, "counts may be wrong");
        }
        if std::mem::take(&mut self.is_first_rest) {
            self.programs.drop_others();
        }
    }

    fn holders(&self, inode: u64) -> Option<u64> {
        self.maps
            .watched
            .get(&self.inodes.get(&inode)?.address, 0)
            .ok()
    }

    fn references(&self, inode: u64) -> Option<u64> {
        let address = self.inodes.get(&inode)?.address;
        let truth = self.maps.truth().filter(|truth| truth.inode == address)?;
        Some(truth::references(&truth))
    }

    async fn news(&mut self) -> News {
        loop {
            if self.is_new {
                return News {
                    releases: Vec::new(),
                    lost: true,
                };
            }
            let records = self.next_records().await;
            let releases = self.releases_of(&records);
            // Read after the ring: a program counts a loss before it tries to wake us.
            let losses = self.losses();
            self.is_skipped |= self.new_misses() > 0;
            let lost = losses != self.tally.losses || self.is_skipped;
            self.tally.losses = losses;
            if lost || !releases.is_empty() {
                return News { releases, lost };
            }
        }
    }

    fn resync(&mut self) -> Result<(), TrackError> {
        if self.inodes.is_empty() {
            return Ok(());
        }
        self.tally.resyncs += 1;
        // A birth under way can hide from a comparison that a death was skipped.
        if std::mem::take(&mut self.is_skipped) {
            self.begin_anew()?;
        }
        self.count_open_files()?;
        self.correct(self.inodes.keys().copied().collect())?;
        // The caller looks at every hold now.
        self.is_new = false;
        Ok(())
    }

    fn compare(&mut self) -> Result<Vec<Comparison>, TrackError> {
        let mut settled = BTreeMap::new();
        let mut pending: Vec<u64> = self.inodes.keys().copied().collect();
        for look in 0..LOOKS {
            if pending.is_empty() {
                break;
            }
            if look > 0 {
                thread::sleep(Duration::from_millis(1 << look.min(5)));
            }
            let seen = self
                .programs
                .count_open_files()
                .map_err(failed("visit the open files"))?;
            let reach = Reach::of(seen);
            pending.retain(|&inode| {
                let Some(comparison) = self.comparison(inode, &reach) else {
                    return true;
                };
                settled.insert(inode, comparison);
                !comparison.agrees()
            });
        }
        Ok(settled.into_values().collect())
    }

    fn visits(&mut self) -> Result<Option<Visits>, TrackError> {
        let visits = self.programs.visits();
        visits.map(Some).map_err(failed("visit all tasks"))
    }

    fn health(&self) -> Health {
        let losses = BTreeMap::from([
            ("ring-full", self.maps.lost(Loss::RingFull)),
            ("birth", self.maps.lost(Loss::Birth)),
            ("recursion", self.tally.misses),
        ]);
        Health {
            tracker: "bpf",
            hooks: self.programs.hooks().name(),
            attached: self.programs.is_attached(),
            pinned: self.programs.is_pinned(),
            watched: self.inodes.len(),
            releases: self.tally.releases,
            resyncs: self.tally.resyncs,
            corrections: self.tally.corrections,
            losses,
            missing: None,
        }
    }
}

fn entering(error: MapError) -> TrackError {
    failed("watch one more inode")(error)
}

/// Takes what is in the ring, at most [`MAX_BATCH`] records, and tells whether it is empty now.
fn drain(ring: &mut RingBuf<MapData>) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    for _ in 0..MAX_BATCH {
        let Some(item) = ring.next() else {
            return (records, true);
        };
        records.extend(Record::read_from_bytes(&item).ok());
    }
    (records, false)
}

/// Opens what a pin keeps, as a reader that waits for nothing.
fn open_pin(pin: &OwnedFd) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("/proc/self/fd/{}", pin.as_raw_fd()))
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
) -> impl Fn(E) -> TrackError {
    move |source| TrackError {
        action,
        source: source.into(),
    }
}
