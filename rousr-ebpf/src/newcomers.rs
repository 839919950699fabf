//! While user space asks for it: files that are opened for reading, each inode once, so that it can make a
//! hold before something takes their last name.
//!
//! Who writes to a file blocks a seal whatever name it has, and dpkg opens for writing each file that it
//! unpacks: those are not told.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap, RingBuf},
    helpers::generated::bpf_d_path,
    macros::btf_map,
};
use rousr_ebpf::{
    FMODE_READ, FMODE_WRITE, Identity, MAX_NEWCOMERS, NEWCOMER_PATH, Newcomer, UNTOLD_KINDS, Untold,
};

use crate::{
    counts::is_agent,
    kernel::{File, Inode, Task, tells_newcomers},
};

/// Some nine hundred of them.
const RING_BYTES: usize = 1 << 18;

/// `-EEXIST`.
const EXISTS: i32 = -17;

#[btf_map]
static NEWCOMERS: RingBuf<Newcomer, RING_BYTES> = RingBuf::new();
#[btf_map]
static KNOWN: HashMap<Identity, u64, { MAX_NEWCOMERS as usize }, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();
#[btf_map]
static UNTOLD: Array<u64, { UNTOLD_KINDS as usize }> = Array::new();

/// A file of the tracked superblock was opened, and its inode is not watched.
#[inline(always)]
pub(crate) fn opened(file: File, inode: Inode) {
    if !tells_newcomers() {
        return;
    }
    let reads_only = file.mode() & (FMODE_READ | FMODE_WRITE) == FMODE_READ;
    if !reads_only || !inode.is_regular() || is_agent(Task::current()) {
        return;
    }
    let identity = inode.identity();
    if KNOWN.get_ptr(identity).is_some() {
        return;
    }
    match KNOWN.insert(identity, 0, u64::from(BPF_NOEXIST)) {
        Ok(()) if tell(file, inode) => {}
        Ok(()) => {
            // It can only fail where user space forgets everything just now.
            let _ = KNOWN.remove(identity);
            count(Untold::RingFull);
        }
        // Told by another CPU in this moment.
        Err(EXISTS) => {}
        Err(_) => count(Untold::TooMany),
    }
}

/// Whether there was room.
#[inline(always)]
fn tell(file: File, inode: Inode) -> bool {
    let Some(mut entry) = NEWCOMERS.reserve(0) else {
        return false;
    };
    let newcomer: *mut Newcomer = entry.as_mut_ptr();
    // SAFETY: the entry has room for one, and is nobody else's until it is submitted.
    let path = unsafe { &raw mut (*newcomer).path };
    // SAFETY: `file` is the kernel's, its path lies within it, and `path` has so many bytes.
    let length = unsafe { bpf_d_path(file.path(), path.cast(), NEWCOMER_PATH as u32) };
    // SAFETY: as above.
    unsafe {
        (*newcomer).inode = inode.number();
        (*newcomer).length = length.max(0) as u64;
    }
    entry.submit(0);
    true
}

#[inline(always)]
fn count(kind: Untold) {
    if let Some(count) = UNTOLD.get_ptr_mut(kind as u32) {
        // SAFETY: an array's values live as long as the array.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(count, 1) };
    }
}
