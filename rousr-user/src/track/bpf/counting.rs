//! The counts of the watched inodes: entered, kept from an agent before this one, compared with the
//! kernel's, begun anew. docs/design.md, "Start at any moment", says why in this order.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    thread,
    time::Duration,
};

use aya::maps::MapError;
use rousr_ebpf::{Sealing, Truth};
use rustix::fs::OFlags;

use super::{hooks::Hooks, maps::Maps, programs::Programs, reach::Reach, truth};
use crate::track::{Comparison, Pin, TrackError};

/// How often a count is compared with the kernel's before a difference is believed: between the
/// kernel's counter and ours a file's opening or release can be under way.
const LOOKS: u32 = 8;

/// What is counted.
pub(super) struct Counting {
    pub(super) programs: Programs,
    pub(super) maps: Maps,
    inodes: HashMap<u64, Watched>,
    numbers: HashMap<u64, u64>,
    /// Addresses that an agent before this one watched and this one does not yet.
    inherited: HashSet<u64>,
    /// Whether files of forgotten inodes may be left in the map.
    is_littered: bool,
    /// Whether all counts began anew, so that a release in between was told by nobody: every hold
    /// is to be looked at.
    pub(super) is_new: bool,
    /// Inodes whose count was too high.
    pub(super) corrections: u64,
    /// [`Truth::sequence`] of what was used last.
    used: Cell<u64>,
}

struct Watched {
    address: u64,
    /// Keeps the inode in memory, and with it its address.
    pin: OwnedFd,
}

impl Counting {
    /// Over the maps that an agent before this one has left.
    pub(super) fn new(programs: Programs, maps: Maps) -> Self {
        Self {
            inodes: HashMap::new(),
            numbers: HashMap::new(),
            inherited: maps.watched(),
            is_littered: false,
            is_new: false,
            corrections: 0,
            used: Cell::new(maps.truth().map_or(0, |truth| truth.sequence)),
            programs,
            maps,
        }
    }

    /// First the inodes, then the programs, then the passes: from the attach on each birth and
    /// death is seen, and what was born before is counted by the passes. An open in flight across
    /// the attach can escape both; its death still wakes us, as `Reason::Uncounted`.
    pub(super) fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError> {
        let located = self.locate(pins)?;
        let kept = self.enter(located)?;
        self.attach()?;
        self.count_open_files()?;
        self.correct(kept)?;
        // The caller looks at every hold now.
        self.is_new = false;
        Ok(())
    }

    fn attach(&mut self) -> Result<(), TrackError> {
        if self.programs.is_attached() {
            return Ok(());
        }
        self.programs
            .attach()
            .map_err(failed("attach the BPF programs"))?;
        self.maps
            .agent
            .tell(true)
            .map_err(failed("tell that births are counted"))
    }

    /// Asks the programs to tell of the next release of what may block a seal, or of none. For that
    /// they are attached also where nothing is watched. `volume` is a descriptor on the volume.
    pub(super) fn await_unblocking(
        &mut self,
        volume: Option<BorrowedFd<'_>>,
    ) -> Result<(), TrackError> {
        let Some(volume) = volume else {
            self.tell_sealing(Sealing::Idle)?;
            return self.detach_if_idle();
        };
        self.attach_to(volume)?;
        self.tell_sealing(Sealing::Armed)
    }

    /// Asks the programs to tell of files that are opened, or of none. For that they are attached also where
    /// nothing is watched. `volume` is a descriptor on the volume.
    pub(super) fn await_newcomers(
        &mut self,
        volume: Option<BorrowedFd<'_>>,
    ) -> Result<(), TrackError> {
        let Some(volume) = volume else {
            self.tell_newcomers(false)?;
            self.maps.forget_newcomers();
            return self.detach_if_idle();
        };
        // What a program was about to enter when it was told to stop.
        self.maps.forget_newcomers();
        self.attach_to(volume)?;
        self.tell_newcomers(true)
    }

    fn tell_newcomers(&mut self, newcomers: bool) -> Result<(), TrackError> {
        self.maps
            .told
            .tell_newcomers(newcomers)
            .map_err(failed("tell whether opened files are to be told"))
    }

    fn attach_to(&mut self, volume: BorrowedFd<'_>) -> Result<(), TrackError> {
        if self.maps.told.superblock().is_none() {
            let own = self
                .programs
                .own_files()
                .map_err(failed("read the address of the superblock"))?;
            let seen = own.get(&volume.as_raw_fd()).ok_or_else(|| {
                failed("find the address of the superblock")("another filesystem is tracked")
            })?;
            self.maps
                .anchor(seen.superblock)
                .map_err(failed("write the filter"))?;
        }
        self.attach()
    }

    fn tell_sealing(&mut self, sealing: Sealing) -> Result<(), TrackError> {
        self.maps
            .told
            .tell_sealing(sealing)
            .map_err(failed("tell whether a seal is pending"))
    }

    fn detach_if_idle(&mut self) -> Result<(), TrackError> {
        if !self.inodes.is_empty() || !self.maps.told.is_idle() {
            return Ok(());
        }
        let told = self.maps.agent.tell(false);
        self.programs.detach();
        told.map_err(failed("tell that nothing is counted"))
    }

    pub(super) fn unwatch(&mut self, inode: u64) {
        let Some(watched) = self.inodes.remove(&inode) else {
            return;
        };
        // Without a file that is counted there is nothing of it in the map of files.
        self.is_littered |= self.maps.watched.get(&watched.address, 0).unwrap_or(0) > 0;
        self.numbers.remove(&watched.address);
        self.maps.forget(watched.address);
    }

    /// Lets go of what nobody watches any more.
    pub(super) fn rest(&mut self) -> Result<(), TrackError> {
        for address in std::mem::take(&mut self.inherited) {
            self.maps.forget(address);
        }
        let is_littered = std::mem::take(&mut self.is_littered);
        if !self.inodes.is_empty() && is_littered {
            self.begin_anew()?;
            self.count_open_files()?;
        }
        self.detach_if_idle()
    }

    /// Brings all counts into agreement with the kernel. After a program was skipped they begin
    /// anew: a birth under way can hide from a comparison that a death was skipped.
    pub(super) fn resync(&mut self, is_skipped: bool) -> Result<(), TrackError> {
        // The caller looks at every hold now, also where this fails.
        let result = self.compare_all(is_skipped);
        self.is_new = false;
        result
    }

    fn compare_all(&mut self, is_skipped: bool) -> Result<(), TrackError> {
        if is_skipped {
            self.begin_anew()?;
        }
        self.count_open_files()?;
        self.correct(self.inodes.keys().copied().collect())
    }

    /// Number of watched inodes.
    pub(super) fn watched(&self) -> usize {
        self.inodes.len()
    }

    /// The watched inode at an address.
    pub(super) fn number(&self, address: u64) -> Option<u64> {
        self.numbers.get(&address).copied()
    }

    /// Our count of an inode.
    pub(super) fn holders(&self, inode: u64) -> Option<u64> {
        let address = self.inodes.get(&inode)?.address;
        self.maps.watched.get(&address, 0).ok()
    }

    /// References to an inode that this process has just opened. Where the kernel skipped the program
    /// that would tell, there may be any.
    pub(super) fn references(&self, inode: u64) -> Option<u64> {
        let address = self.inodes.get(&inode)?.address;
        if !self.programs.is_attached() {
            return None;
        }
        Some(
            self.told(address)
                .map_or(1, |truth| truth::references(&truth)),
        )
    }

    /// Every count beside the kernel's.
    pub(super) fn compare(&mut self) -> Result<Vec<Comparison>, TrackError> {
        let mut settled = BTreeMap::new();
        let mut pending: Vec<u64> = self.inodes.keys().copied().collect();
        for look in 0..LOOKS {
            if pending.is_empty() {
                break;
            }
            pause_before(look);
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
        match pending.iter().find(|inode| !settled.contains_key(*inode)) {
            Some(inode) => Err(failed("compare counts")(io::Error::other(format!(
                "the kernel told nothing of inode {inode}"
            )))),
            None => Ok(settled.into_values().collect()),
        }
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
            self.maps.enter(&fresh).map_err(entering)?;
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
        let addresses: Vec<u64> = self.addresses().into_iter().collect();
        for &address in &addresses {
            self.maps.forget(address);
        }
        self.wait()?;
        self.maps.purge();
        self.maps.enter(&addresses).map_err(entering)
    }

    /// Counts all inodes anew where one of these has a count that stays above the kernel's: a
    /// release was lost.
    pub(super) fn correct(&mut self, inodes: Vec<u64>) -> Result<(), TrackError> {
        let mut wrong = inodes;
        for look in 0..LOOKS {
            if wrong.is_empty() {
                return Ok(());
            }
            pause_before(look);
            wrong.retain(|&inode| {
                self.look(inode)
                    .is_some_and(|truth| truth.counted > truth::files(&truth))
            });
        }
        if wrong.is_empty() {
            return Ok(());
        }
        tracing::warn!(inodes = wrong.len(), "counts were too high; counting anew");
        self.corrections += wrong.len() as u64;
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
    fn look(&self, inode: u64) -> Option<Truth> {
        let watched = self.inodes.get(&inode)?;
        drop(open_pin(&watched.pin).ok()?);
        self.told(watched.address)
    }

    /// What the programs told since the last question, if it was about this inode.
    fn told(&self, address: u64) -> Option<Truth> {
        let truth = self.maps.truth()?;
        let is_new = self.used.replace(truth.sequence) != truth.sequence;
        (is_new && truth.inode == address).then_some(truth)
    }
}

/// Gives a file that is under way the time to arrive; the first look needs none.
fn pause_before(look: u32) {
    if look > 0 {
        thread::sleep(Duration::from_millis(1 << look.min(5)));
    }
}

fn entering(error: MapError) -> TrackError {
    failed("watch one more inode")(error)
}

/// Opens what a pin keeps, as a reader that waits for nothing.
fn open_pin(pin: &OwnedFd) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("/proc/self/fd/{}", pin.as_raw_fd()))
}

pub(super) fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
) -> impl Fn(E) -> TrackError {
    move |source| TrackError {
        action,
        source: source.into(),
    }
}
