//! The files that count, each under its own address.
//!
//! Nearly all stand in `TABLE`, an array of short rows: a row is found by the file's address alone and
//! read without a lock, in a tenth of the instructions of a hash map. What finds its row full stands
//! in the hash map `FILES`.
//!
//! One address is never written by two at once. Until an open has returned no iterator can reach
//! the file, an iterator keeps what it visits alive, and one agent runs one iterator at a time. Who
//! else writes to the row has another address, and takes a place of it by compare and exchange.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use rousr_ebpf::{OVERFLOW_ROW, ROW_PLACES, Row, TABLE_ROWS, table_row};

const MAX_FILES: usize = 1 << 20;

#[btf_map]
static TABLE: Array<Row, { TABLE_ROWS as usize }> = Array::new();
// Allocated on demand: a full table of files would take 64 MiB that a quiet server never needs.
#[btf_map]
static FILES: HashMap<u64, u64, MAX_FILES, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Enters a file of `inode`. Returns whether it is new, `None` where there is no room.
///
/// An entry with another inode is of a file that died while its inode was not watched: the address
/// is this file's now.
#[inline(always)]
pub(crate) fn enter(file: u64, inode: u64) -> Option<bool> {
    let row = row(table_row(file, inode))?;
    for place in 0..ROW_PLACES {
        if row.file(place) == file && row.inode(place) == inode {
            return Some(false);
        }
    }
    if overflowed() {
        // SAFETY: the value is copied at once, and who else would change it has this file's address.
        match unsafe { FILES.get(file) }.copied() {
            Some(known) if known == inode => return Some(false),
            Some(_) => return overflow(file, inode),
            None => {}
        }
    }
    for place in 0..ROW_PLACES {
        if row.file(place) == 0 && row.take(place, file) {
            row.set_inode(place, inode);
            return Some(true);
        }
    }
    self::row(OVERFLOW_ROW)?.set_inode(0, 1);
    overflow(file, inode)
}

#[inline(always)]
fn overflow(file: u64, inode: u64) -> Option<bool> {
    let entered = FILES.insert(file, inode, u64::from(BPF_ANY));
    entered.is_ok().then_some(true)
}

/// Takes a file out. Returns whether it was there.
#[inline(always)]
pub(crate) fn remove(file: u64, inode: u64) -> bool {
    let Some(row) = row(table_row(file, inode)) else {
        return false;
    };
    for place in 0..ROW_PLACES {
        if row.file(place) == file && row.inode(place) == inode {
            row.set_inode(place, 0);
            row.free(place);
            return true;
        }
    }
    overflowed() && FILES.remove(file).is_ok()
}

/// Whether a row was ever full.
#[inline(always)]
fn overflowed() -> bool {
    row(OVERFLOW_ROW).is_some_and(|flag| flag.inode(0) != 0)
}

#[inline(always)]
fn row(index: u32) -> Option<Places> {
    TABLE.get_ptr_mut(index).map(|row| Places(row.cast()))
}

/// The places of a row: the file's address, zero where the place is free, and the inode's.
#[derive(Clone, Copy)]
struct Places(*mut u64);

impl Places {
    #[inline(always)]
    fn file(self, place: usize) -> u64 {
        // SAFETY: a row has so many places, and lives as long as the array.
        unsafe { self.0.add(2 * place).read_volatile() }
    }

    #[inline(always)]
    fn inode(self, place: usize) -> u64 {
        // SAFETY: as above.
        unsafe { self.0.add(2 * place + 1).read_volatile() }
    }

    #[inline(always)]
    fn set_inode(self, place: usize, inode: u64) {
        // SAFETY: as above.
        unsafe { self.0.add(2 * place + 1).write_volatile(inode) };
    }

    #[inline(always)]
    fn free(self, place: usize) {
        // SAFETY: as above.
        unsafe { self.0.add(2 * place).write_volatile(0) };
    }

    #[inline(always)]
    fn take(self, place: usize, file: u64) -> bool {
        const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
        // SAFETY: as above.
        unsafe { atomic_cxchg::<u64, ORDER, ORDER>(self.0.add(2 * place), 0, file).1 }
    }
}
