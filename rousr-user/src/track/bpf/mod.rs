//! The exact tracker: BPF programs count every open file of the watched inodes.
//!
//! The programs are attached only while an inode is watched, so a system without holds pays
//! nothing for them.

mod offsets;
mod pass;
mod programs;

use std::{
    collections::HashMap,
    future,
    os::fd::{AsRawFd as _, RawFd},
};

use aya::maps::{Array, HashMap as BpfHashMap, MapData, RingBuf};
use rousr_ebpf::{LOSS_KINDS, Release as Record};
use tokio::io::unix::AsyncFd;
use zerocopy::FromBytes as _;

pub use programs::Unavailable;
use programs::{Loaded, Programs};

use super::{Health, News, Pin, Release, TrackError, Tracker};
use crate::sys::readiness::readable;

/// The compiled programs.
pub(crate) const OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/rousr.bpf.o"));

/// Records taken from the ring buffer in one go, so that a flood cannot starve the agent's
/// other work.
const MAX_BATCH: usize = 4096;

/// Counts by BPF programs on the superblock with the given device number.
pub struct BpfTracker {
    programs: Programs,
    watched: BpfHashMap<MapData, u64, u64>,
    files: BpfHashMap<MapData, u64, u64>,
    losses: Array<MapData, u64>,
    releases: AsyncFd<RingBuf<MapData>>,
    addresses: HashMap<u64, u64>,
    numbers: HashMap<u64, u64>,
    losses_seen: u64,
}

impl BpfTracker {
    /// Loads the programs for the superblock with `device`, in the kernel's own encoding
    /// (`major << 20 | minor`, as in mountinfo and not as in `stat`). Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// Says why the kernel cannot run them and what would have to change. Must be called within
    /// a tokio runtime.
    pub fn load(device: u32) -> Result<Self, Unavailable> {
        let Loaded {
            programs,
            watched,
            files,
            losses,
            releases,
        } = Programs::load(OBJECT, device)?;
        Ok(Self {
            programs,
            watched,
            files,
            losses,
            releases: readable(releases).map_err(Unavailable::RingBuffer)?,
            addresses: HashMap::new(),
            numbers: HashMap::new(),
            losses_seen: 0,
        })
    }

    /// Enters the inodes behind `pins`, and finds their addresses by the agent's own descriptors.
    fn enter(&mut self, pins: &[Pin]) -> Result<(), TrackError> {
        let addresses: HashMap<RawFd, u64> = self
            .programs
            .own_files()
            .map_err(failed("read the addresses of the holds' inodes"))?
            .into_iter()
            .filter_map(|own| Some((RawFd::try_from(own.descriptor).ok()?, own.inode)))
            .collect();
        for pin in pins {
            let address = *addresses.get(&pin.file.as_raw_fd()).ok_or_else(|| {
                failed("find the address of a hold's inode")(format!(
                    "inode {} is not on the tracked filesystem",
                    pin.inode
                ))
            })?;
            if self.addresses.insert(pin.inode, address) == Some(address) {
                continue;
            }
            self.watched
                .insert(address, 0, 0)
                .map_err(failed("watch one more inode"))?;
            self.numbers.insert(address, pin.inode);
        }
        Ok(())
    }

    fn attach(&mut self) -> Result<(), TrackError> {
        if self.programs.attached() {
            return Ok(());
        }
        // A program that was still running when the last ones were detached may have entered a
        // file since. Its address can belong to another file by now.
        self.forget_files();
        self.programs
            .attach()
            .map_err(failed("attach the BPF programs"))
    }

    fn forget_files(&mut self) {
        let stale: Vec<u64> = self.files.keys().filter_map(Result::ok).collect();
        for file in stale {
            // An entry that a program took out in between is what we want.
            let _ = self.files.remove(&file);
        }
    }

    fn losses(&self) -> u64 {
        (0..LOSS_KINDS)
            .filter_map(|kind| self.losses.get(&kind, 0).ok())
            .sum()
    }
}

/// Takes records out of the ring, at most [`MAX_BATCH`]. Tells whether it is empty now.
fn drain(ring: &mut RingBuf<MapData>, numbers: &HashMap<u64, u64>) -> (Vec<Release>, bool) {
    let mut releases = Vec::new();
    for _ in 0..MAX_BATCH {
        let Some(item) = ring.next() else {
            return (releases, true);
        };
        let Ok(record) = Record::read_from_bytes(&item) else {
            continue;
        };
        // The inode may have been forgotten while the record was under way.
        if let Some(&inode) = numbers.get(&record.inode) {
            releases.push(Release {
                inode,
                at: record.at,
            });
        }
    }
    (releases, false)
}

impl Tracker for BpfTracker {
    /// First the inodes, then the programs, then the passes: from the attach on each birth and
    /// death is seen, and what was born before is counted by the passes. An open in flight across
    /// the attach can escape both; its death still wakes us, as `Reason::Uncounted`.
    fn watch(&mut self, pins: &[Pin]) -> Result<(), TrackError> {
        if pins.is_empty() {
            return Ok(());
        }
        self.enter(pins)?;
        self.attach()?;
        self.programs
            .count_open_files()
            .map_err(failed("count the files open already"))
    }

    fn unwatch(&mut self, inode: u64) {
        let Some(address) = self.addresses.remove(&inode) else {
            return;
        };
        self.numbers.remove(&address);
        // It can only fail where the entry is gone.
        let _ = self.watched.remove(&address);
        if self.addresses.is_empty() {
            self.programs.detach();
            self.forget_files();
        }
    }

    fn holders(&self, inode: u64) -> Option<u64> {
        self.watched.get(self.addresses.get(&inode)?, 0).ok()
    }

    async fn news(&mut self) -> News {
        loop {
            let mut guard = match self.releases.readable_mut().await {
                Ok(guard) => guard,
                Err(error) => {
                    tracing::error!(%error, "the ring buffer cannot be polled; restart the agent");
                    return future::pending().await;
                }
            };
            let (releases, empty) = drain(guard.get_inner_mut(), &self.numbers);
            if empty {
                // A record that came since makes this a no-op.
                guard.clear_ready();
            }
            let losses = self.losses();
            let lost = losses != self.losses_seen;
            self.losses_seen = losses;
            if lost || !releases.is_empty() {
                return News { releases, lost };
            }
        }
    }

    fn health(&self) -> Health {
        Health {
            tracker: "bpf",
            attached: self.programs.attached(),
            watched: self.addresses.len(),
            losses: self.losses(),
            missing: None,
        }
    }
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
) -> impl Fn(E) -> TrackError {
    move |source| TrackError {
        action,
        source: source.into(),
    }
}
