//! The maps, as user space keeps them.

use std::collections::HashSet;

use aya::{
    Pod,
    maps::{Array, ArrayOfMaps, HashMap, IterableMap, MapData, MapError},
    sys::SyscallError,
};
use rousr_ebpf::{Agent, Identity, Loss, OVERFLOW_ROW, Row, Sealing, TABLE_ROWS, Truth, Untold};
use zerocopy::{Immutable, IntoBytes, transmute};

use super::filter::Filter;
use crate::sys::map_batch;

/// The maps that the programs count in.
pub(super) struct Maps {
    pub(super) agent: OwnProcess,
    pub(super) watched: HashMap<MapData, u64, u64>,
    pub(super) filter: Filter,
    pub(super) told: Told,
    pub(super) table: Array<MapData, Row>,
    pub(super) files: HashMap<MapData, u64, u64>,
    pub(super) losses: Array<MapData, u64>,
    pub(super) truth: Array<MapData, [u64; 9]>,
    pub(super) grace: ArrayOfMaps<MapData, Array<MapData, u64>>,
    pub(super) known: HashMap<MapData, Identity, u64>,
    pub(super) untold: Array<MapData, u64>,
}

/// What the programs know of this process.
pub(super) struct OwnProcess {
    map: Array<MapData, [u64; 3]>,
    agent: Agent,
}

impl OwnProcess {
    pub(super) fn new(map: Array<MapData, [u64; 3]>, agent: Agent) -> Self {
        Self { map, agent }
    }

    /// Tells who the agent is, and whether both programs are attached.
    pub(super) fn tell(&mut self, counts: bool) -> Result<(), MapError> {
        let Agent { group, started, .. } = self.agent;
        self.map.set(0, [group, started, u64::from(counts)], 0)
    }
}

/// What the programs are told while they run.
pub(super) struct Told {
    map: Array<MapData, [u64; 3]>,
    superblock: u64,
    sealing: Sealing,
    newcomers: bool,
}

impl Told {
    pub(super) fn new(map: Array<MapData, [u64; 3]>) -> Self {
        Self {
            map,
            superblock: 0,
            sealing: Sealing::Idle,
            newcomers: false,
        }
    }

    /// Where the tracked superblock is, once that was told.
    pub(super) fn superblock(&self) -> Option<u64> {
        (self.superblock != 0).then_some(self.superblock)
    }

    /// Whether nothing is to be told but of what is watched.
    pub(super) fn is_idle(&self) -> bool {
        self.sealing == Sealing::Idle && !self.newcomers
    }

    fn tell_superblock(&mut self, superblock: u64) -> Result<(), MapError> {
        self.superblock = superblock;
        self.write()
    }

    /// Asks to be told of the next release of what may block a seal, or of none.
    pub(super) fn tell_sealing(&mut self, sealing: Sealing) -> Result<(), MapError> {
        self.sealing = sealing;
        self.write()
    }

    /// Asks to be told of newcomers, or of none.
    pub(super) fn tell_newcomers(&mut self, newcomers: bool) -> Result<(), MapError> {
        self.newcomers = newcomers;
        self.write()
    }

    fn write(&mut self) -> Result<(), MapError> {
        let newcomers = u64::from(self.newcomers);
        let words = [self.superblock, self.sealing as u64, newcomers];
        self.map.set(0, words, 0)
    }
}

impl Maps {
    /// Addresses of the inodes that are watched.
    pub(super) fn watched(&self) -> HashSet<u64> {
        self.watched.keys().filter_map(Result::ok).collect()
    }

    /// Enters inodes with a count of zero. [`wait`](Self::wait) before that, and forget nothing in
    /// between: a program that found an element of the map before it was taken out can still write
    /// to it.
    pub(super) fn enter(&mut self, addresses: &[u64]) -> Result<(), MapError> {
        self.filter.add(addresses)?;
        update_batch(&self.watched, addresses, &vec![0u64; addresses.len()])
    }

    /// Tells where the tracked superblock is; before the first [`enter`](Self::enter).
    pub(super) fn anchor(&mut self, superblock: u64) -> Result<(), MapError> {
        self.told.tell_superblock(superblock)?;
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

    /// Whether every counted file is of one of these inodes.
    pub(super) fn counts_only(&self, addresses: &HashSet<u64>) -> bool {
        let table = (0..OVERFLOW_ROW).filter_map(|row| self.table.get(&row, 0).ok());
        let places = table.flat_map(|row| {
            let [a, b, c, d, e, f, g, h] = row;
            [(a, b), (c, d), (e, f), (g, h)]
        });
        places
            .filter(|&(file, _)| file != 0)
            .chain(self.files.iter().filter_map(Result::ok))
            .all(|(_, inode)| addresses.contains(&inode))
    }

    /// Takes out all files. Only while nothing is watched: between the look at an entry and its
    /// removal its address can come to belong to a file that counts.
    pub(super) fn purge(&mut self) {
        for row in 0..TABLE_ROWS {
            // An index within the array cannot fail.
            let _ = self.table.set(row, Row::default(), 0);
        }
        let files: Vec<u64> = self.files.keys().filter_map(Result::ok).collect();
        for file in files {
            // An entry that is gone is what we want.
            let _ = self.files.remove(&file);
        }
    }

    /// What the programs told when this process opened a watched inode last.
    pub(super) fn truth(&self) -> Option<Truth> {
        let words = self.truth.get(&0, 0).ok()?;
        Some(transmute!(words))
    }

    /// From now on every newcomer is told again.
    pub(super) fn forget_newcomers(&mut self) {
        let known: Vec<Identity> = self.known.keys().filter_map(Result::ok).collect();
        for identity in known {
            // An entry that is gone is what we want.
            let _ = self.known.remove(&identity);
        }
    }

    /// Openings of newcomers that were not told, since the map was made.
    pub(super) fn untold(&self, kind: Untold) -> u64 {
        self.untold.get(&(kind as u32), 0).unwrap_or(0)
    }

    /// Events lost since the map was made.
    pub(super) fn lost(&self, kind: Loss) -> u64 {
        self.losses.get(&(kind as u32), 0).unwrap_or(0)
    }
}

/// Sets each key to its value by one call, however many there are.
pub(super) fn update_batch<K, V>(
    map: &impl IterableMap<K, V>,
    keys: &[K],
    values: &[V],
) -> Result<(), MapError>
where
    K: Pod + IntoBytes + Immutable,
    V: Pod + IntoBytes + Immutable,
{
    map_batch::update(map, keys, values).map_err(|io_error| {
        MapError::SyscallError(SyscallError {
            call: "bpf_map_update_batch",
            io_error,
        })
    })
}
