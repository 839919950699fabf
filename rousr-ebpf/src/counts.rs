//! The maps, and the one place where a count goes up or down.

use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xsub};

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, ArrayOfMaps, HashMap, RingBuf},
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid,
        generated::{bpf_get_current_cgroup_id, bpf_ktime_get_ns},
    },
    macros::btf_map,
};
use rousr_ebpf::{Agent, FILTER_WORDS, LOSS_KINDS, Loss, Reason, Release, Truth, filter_bit};

use crate::{
    files,
    kernel::{File, Inode, Task},
    newcomers, sealing,
};

const MAX_WATCHED: usize = 1 << 17;
const RING_BYTES: usize = 1 << 18;

#[btf_map]
static WATCHED: HashMap<u64, u64, MAX_WATCHED, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
static FILTER: Array<u64, { FILTER_WORDS as usize }> = Array::new();
#[btf_map]
static RELEASES: RingBuf<Release, RING_BYTES> = RingBuf::new();
#[btf_map]
static LOSSES: Array<u64, { LOSS_KINDS as usize }> = Array::new();
#[btf_map]
static AGENT: Array<Agent, 1> = Array::new();
#[btf_map]
static TRUTH: Array<Truth, 1> = Array::new();
/// No program uses it: user space replaces its element to wait until every program that runs at
/// that moment has ended (`maybe_wait_bpf_programs`).
#[btf_map]
static GRACE: ArrayOfMaps<Array<u64, { LOSS_KINDS as usize }>, 1> = ArrayOfMaps::new();

/// Nanoseconds in a unit of [`Agent::started`], which is `USER_HZ`'s.
const TICK: u64 = 10_000_000;

/// Counts a file that the current task opens; where that is the agent, tells it the truth instead.
/// Returns whether the inode is watched.
#[inline(always)]
pub(crate) fn opened(file: File) -> bool {
    let inode = file.inode();
    let Some(superblock) = inode.told_superblock() else {
        return false;
    };
    let Some(holders) = watched_on(superblock, inode) else {
        newcomers::opened(file, inode);
        return false;
    };
    if is_agent(Task::current()) {
        tell(inode, holders);
    } else if file.is_user() {
        enter(file, inode, holders);
    }
    true
}

/// Takes off a file whose memory is about to be freed. Returns whether its inode is watched.
///
/// The kernel's own counters are down by now.
#[inline(always)]
pub(crate) fn released(file: File) -> bool {
    let mut inode = file.inode();
    if inode.is_null() {
        inode = file.lost_inode();
        if inode.is_null() {
            return false;
        }
    }
    let Some(superblock) = inode.told_superblock() else {
        return false;
    };
    sealing::released(file, inode);
    let Some(holders) = watched_on(superblock, inode) else {
        return false;
    };
    if !file.is_user() {
        reference_released(inode, holders);
    } else if take_off(file, inode.address(), holders)
        && inode.readers() <= 0
        && inode.writers() <= 0
    {
        send(inode.address(), Reason::Unused);
    }
    true
}

/// Returns whether others are left by our count.
#[inline(always)]
fn take_off(file: File, inode: u64, holders: *mut u64) -> bool {
    if files::remove(file.address(), inode) {
        // SAFETY: a value of the map stays readable and writable until this program ends.
        let before = unsafe { atomic_xsub::<u64, u64, { AtomicOrdering::SeqCst }>(holders, 1) };
        if before == 1 {
            send(inode, Reason::LastHolder);
        }
        return before != 1;
    }
    // The agent's own files are never counted.
    if counts() && !is_agent(Task::current()) {
        send(inode, Reason::Uncounted);
    }
    false
}

/// The count of an inode on the tracked superblock that is watched.
#[inline(always)]
pub(crate) fn watched(inode: Inode) -> Option<*mut u64> {
    watched_on(inode.told_superblock()?, inode)
}

#[inline(always)]
fn watched_on(superblock: u64, inode: Inode) -> Option<*mut u64> {
    let bit = filter_bit(inode.address(), superblock);
    let word = FILTER.get(bit >> 6)?;
    if word >> (bit & 63) & 1 == 0 {
        return None;
    }
    WATCHED.get_ptr_mut(inode.address())
}

/// Whether `task` is the agent, which does not count as a holder.
#[inline(always)]
pub(crate) fn is_agent(task: Task) -> bool {
    let Some(agent) = AGENT.get(0) else {
        return false;
    };
    u64::from(task.group()) == agent.group && task.started() / TICK == agent.started
}

/// Whether every birth is counted by now.
#[inline(always)]
fn counts() -> bool {
    AGENT.get(0).is_some_and(|agent| agent.counts != 0)
}

/// Counts a file that is opened or that an iterator visits, unless it is counted already.
#[inline(always)]
pub(crate) fn enter(file: File, inode: Inode, holders: *mut u64) {
    match files::enter(file.address(), inode.address()) {
        Some(true) => {
            // SAFETY: a value of the map stays readable and writable until this program ends.
            unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(holders, 1) };
        }
        Some(false) => {}
        None => lost(Loss::Birth, inode.address()),
    }
}

/// `O_PATH` files are not counted: no hook that cannot be skipped sees them come. Nor are those of
/// access mode 3, so that our count is the kernel's. Where counted ones are left their last one will
/// tell; the agent then asks for the truth, which knows both by the inode's references.
#[inline(always)]
fn reference_released(inode: Inode, holders: *mut u64) {
    // SAFETY: a value of the map stays readable until this program ends.
    let counted = unsafe { holders.read_volatile() };
    if counted == 0 && !is_agent(Task::current()) {
        send(inode.address(), Reason::Reference);
    }
}

/// The agent opens an inode to learn what the kernel knows about it.
#[inline(always)]
fn tell(inode: Inode, holders: *mut u64) {
    let Some(truth) = TRUTH.get_ptr_mut(0) else {
        return;
    };
    let (aliases, references) = inode.dentries();
    let told = Truth {
        inode: inode.address(),
        // SAFETY: a value of the map stays readable until this program ends.
        counted: unsafe { holders.read_volatile() },
        readers: i64::from(inode.readers()),
        writers: i64::from(inode.writers()),
        references,
        aliases,
        inode_references: i64::from(inode.references()),
        marks: u64::from(inode.has_marks()),
        // SAFETY: an array's values live as long as the array.
        sequence: unsafe { (*truth).sequence } + 1,
    };
    // SAFETY: an array's values live as long as the array, and the agent has one thread that opens.
    unsafe { truth.write(told) };
}

#[inline(always)]
fn send(inode: u64, reason: Reason) {
    if !try_send(inode, reason) {
        lost(Loss::RingFull, inode);
    }
}

#[inline(always)]
pub(crate) fn try_send(inode: u64, reason: Reason) -> bool {
    let Some(mut entry) = RELEASES.reserve(0) else {
        return false;
    };
    // SAFETY: the helper has no precondition.
    let at = unsafe { bpf_ktime_get_ns() };
    entry.write(Release {
        inode,
        at,
        reason: reason as u32,
        process: (bpf_get_current_pid_tgid() >> 32) as u32,
        // SAFETY: the helper has no precondition.
        control_group: unsafe { bpf_get_current_cgroup_id() },
        name: bpf_get_current_comm().unwrap_or_default(),
    });
    entry.submit(0);
    true
}

/// Counts a loss, and then wakes the agent. Where the ring is full even then, the agent has yet to
/// empty it, and reads the number of losses after that.
#[inline(always)]
fn lost(kind: Loss, inode: u64) {
    if let Some(count) = LOSSES.get_ptr_mut(kind as u32) {
        // SAFETY: an array's values live as long as the array.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(count, 1) };
    }
    try_send(inode, Reason::Lost);
}
