//! The maps, as user space keeps them.

use std::collections::HashSet;

use aya::maps::{Array, ArrayOfMaps, HashMap, MapData, MapError};
use rousr_ebpf::{Loss, Truth};
use zerocopy::transmute;

use super::filter::Filter;

/// The maps that the programs count in.
pub(super) struct Maps {
    pub(super) watched: HashMap<MapData, u64, u64>,
    pub(super) filter: Filter,
    pub(super) files: HashMap<MapData, u64, u64>,
    pub(super) losses: Array<MapData, u64>,
    pub(super) truth: Array<MapData, [u64; 8]>,
    pub(super) grace: ArrayOfMaps<MapData, Array<MapData, u64>>,
}

impl Maps {
    /// Addresses of the inodes that are watched.
    pub(super) fn watched(&self) -> HashSet<u64> {
        self.watched.keys().filter_map(Result::ok).collect()
    }

    /// Enters inodes that nobody watches, with a count of zero. Before that [`wait`](Self::wait)
    /// and [`purge`](Self::purge), and nothing forgotten in between: an element of the map that is
    /// free can still be written to by a program that found it before.
    pub(super) fn enter(
        &mut self,
        addresses: impl IntoIterator<Item = u64>,
    ) -> Result<(), MapError> {
        for address in addresses {
            self.filter.add(address)?;
            self.watched.insert(address, 0, 0)?;
        }
        Ok(())
    }

    /// Tells where the tracked superblock is; before the first [`enter`](Self::enter).
    pub(super) fn anchor(&mut self, superblock: u64) -> Result<(), MapError> {
        let watched = self.watched();
        self.filter.anchor(superblock, watched)
    }

    /// Watches an inode no longer. Files of it can stay behind until the next purge.
    pub(super) fn forget(&mut self, address: u64) {
        // It can only fail where the entry is gone.
        let _ = self.watched.remove(&address);
        if let Err(error) = self.filter.remove(address) {
            tracing::debug!(%error, "a bit of the filter stays set, which costs a lookup");
        }
    }

    /// Returns when every program that runs at the call has ended.
    ///
    /// To replace an element of an array of maps waits for a grace period of RCU, always; membarrier
    /// does not on a machine with one CPU. Programs that do not sleep run within a read-side section.
    /// <https://elixir.bootlin.com/linux/v6.12/source/kernel/bpf/syscall.c> (`maybe_wait_bpf_programs`)
    pub(super) fn wait(&mut self) -> Result<(), MapError> {
        self.grace.set(0, &self.losses, 0)
    }

    /// Takes out the files whose inode is not watched.
    pub(super) fn purge(&mut self) {
        let watched = self.watched();
        let stale: Vec<u64> = self
            .files
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, inode)| !watched.contains(inode))
            .map(|(file, _)| file)
            .collect();
        for file in stale {
            // An entry that a program took out in between is what we want.
            let _ = self.files.remove(&file);
        }
    }

    /// Forgets what the programs told last.
    pub(super) fn clear_truth(&mut self) -> Result<(), MapError> {
        self.truth.set(0, [0; 8], 0)
    }

    /// What the programs told when this process opened a watched inode last.
    pub(super) fn truth(&self) -> Option<Truth> {
        let words = self.truth.get(&0, 0).ok()?;
        Some(transmute!(words))
    }

    /// Events lost since the map was made.
    pub(super) fn lost(&self, kind: Loss) -> u64 {
        self.losses.get(&(kind as u32), 0).unwrap_or(0)
    }
}
