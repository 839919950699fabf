//! The filter before the map of watched inodes: one bit for several inodes.

use std::collections::{BTreeMap, HashMap};

use aya::maps::{Array, MapData, MapError};
use rousr_ebpf::{FILTER_WORDS, filter_bit};

use super::maps::update_batch;

/// Keeps the kernel's bits: one is set while an inode that it stands for is watched.
pub(super) struct Filter {
    map: Array<MapData, u64>,
    /// Address of the tracked superblock, once it is known.
    superblock: Option<u64>,
    uses: HashMap<u32, u32>,
}

impl Filter {
    /// The filter as an agent before this one has left it.
    pub(super) fn new(map: Array<MapData, u64>) -> Self {
        Self {
            map,
            superblock: None,
            uses: HashMap::new(),
        }
    }

    /// Before the first use: tells where the superblock is, and what is watched already. Only this
    /// process writes the map from now on.
    pub(super) fn anchor(
        &mut self,
        superblock: u64,
        watched: impl IntoIterator<Item = u64>,
    ) -> Result<(), MapError> {
        if self.superblock.replace(superblock) == Some(superblock) {
            return Ok(());
        }
        self.uses.clear();
        let mut words = [0; FILTER_WORDS as usize];
        for address in watched {
            let bit = filter_bit(address, superblock);
            *self.uses.entry(bit).or_default() += 1;
            words[(bit / u64::BITS) as usize] |= mask(bit);
        }
        for (index, word) in (0..).zip(words) {
            self.map.set(index, word, 0)?;
        }
        Ok(())
    }

    /// Before the inodes are entered.
    pub(super) fn add(&mut self, addresses: &[u64]) -> Result<(), MapError> {
        let mut words: BTreeMap<u32, u64> = BTreeMap::new();
        for &address in addresses {
            let bit = self.bit(address).ok_or(MapError::KeyNotFound)?;
            *self.uses.entry(bit).or_default() += 1;
            *words.entry(bit / u64::BITS).or_default() |= mask(bit);
        }
        for (index, word) in &mut words {
            *word |= self.map.get(index, 0)?;
        }
        let (indices, words): (Vec<u32>, Vec<u64>) = words.into_iter().unzip();
        update_batch(&self.map, &indices, &words)
    }

    /// After the inode is taken out. A bit that stays set costs a lookup and nothing else.
    pub(super) fn remove(&mut self, address: u64) -> Result<(), MapError> {
        let Some(bit) = self.bit(address) else {
            return Ok(());
        };
        let Some(uses) = self.uses.get_mut(&bit) else {
            return Ok(());
        };
        *uses -= 1;
        if *uses > 0 {
            return Ok(());
        }
        self.uses.remove(&bit);
        self.write(bit, |word| word & !mask(bit))
    }

    fn bit(&self, address: u64) -> Option<u32> {
        Some(filter_bit(address, self.superblock?))
    }

    fn write(&mut self, bit: u32, change: impl FnOnce(u64) -> u64) -> Result<(), MapError> {
        let index = bit / u64::BITS;
        let word = self.map.get(&index, 0)?;
        self.map.set(index, change(word), 0)
    }
}

fn mask(bit: u32) -> u64 {
    1 << (bit % u64::BITS)
}
