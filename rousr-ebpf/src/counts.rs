//! The maps, and the one place where a count goes up or down.

use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xsub};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap, RingBuf},
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::btf_map,
};
use rousr_ebpf::{LOSS_KINDS, Loss, Reason, Release};

use crate::kernel::{File, Inode, is_agent};

const MAX_WATCHED: usize = 1 << 17;
const MAX_FILES: usize = 1 << 20;
const RING_BYTES: usize = 1 << 18;

// Allocated on demand: a full table of files would take 64 MiB that a quiet server never needs.
#[btf_map]
static WATCHED: HashMap<u64, u64, MAX_WATCHED, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
static FILES: HashMap<u64, u64, MAX_FILES, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
static RELEASES: RingBuf<Release, RING_BYTES> = RingBuf::new();
#[btf_map]
static LOSSES: Array<u64, { LOSS_KINDS as usize }> = Array::new();

const EEXIST: i32 = -17;
const ENOENT: i32 = -2;

/// Counts a file that the current task opens. Returns whether its inode is watched.
#[inline(always)]
pub(crate) fn opened(file: File) -> bool {
    let inode = file.inode();
    if !inode.is_tracked() || !is_watched(inode) {
        return false;
    }
    if !is_agent(current_group()) {
        count(file, inode);
    }
    true
}

/// Counts `file`, unless it is counted already.
#[inline(always)]
pub(crate) fn count(file: File, inode: Inode) {
    match FILES.insert(file.address(), inode.address(), u64::from(BPF_NOEXIST)) {
        Ok(()) => {
            if let Some(holders) = WATCHED.get_ptr_mut(inode.address()) {
                // SAFETY: a value of the map stays readable and writable until this program ends.
                unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(holders, 1) };
            }
        }
        Err(EEXIST) => {}
        Err(_) => lost(Loss::Birth),
    }
}

/// Takes off a file whose memory is about to be freed. Returns whether its inode is watched.
#[inline(always)]
pub(crate) fn released(file: File) -> bool {
    let inode = file.inode();
    let Some(holders) = WATCHED.get_ptr_mut(inode.address()) else {
        return false;
    };
    match FILES.remove(file.address()) {
        Ok(()) => {
            // SAFETY: a value of the map stays readable and writable until this program ends.
            let before = unsafe { atomic_xsub::<u64, u64, { AtomicOrdering::SeqCst }>(holders, 1) };
            if before == 1 {
                send(inode, Reason::LastHolder);
            }
        }
        // The agent's own files are never counted.
        Err(ENOENT) if is_agent(current_group()) => {}
        Err(ENOENT) => send(inode, Reason::Uncounted),
        Err(_) => lost(Loss::Death),
    }
    true
}

#[inline(always)]
pub(crate) fn is_watched(inode: Inode) -> bool {
    WATCHED.get_ptr(inode.address()).is_some()
}

#[inline(always)]
fn current_group() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn send(inode: Inode, reason: Reason) {
    let Some(mut entry) = RELEASES.reserve(0) else {
        return lost(Loss::RingFull);
    };
    // SAFETY: the helper has no precondition.
    let at = unsafe { bpf_ktime_get_ns() };
    entry.write(Release {
        inode: inode.address(),
        at,
        reason: reason as u64,
    });
    entry.submit(0);
}

#[inline(always)]
fn lost(kind: Loss) {
    if let Some(count) = LOSSES.get_ptr_mut(kind as u32) {
        // SAFETY: an array's values live as long as the array.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
    }
}
