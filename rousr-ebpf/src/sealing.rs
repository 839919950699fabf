//! While a seal is pending: a file went that may have been in its way.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use rousr_ebpf::{FMODE_WRITE, Reason, Sealing};

use crate::{
    counts::{is_agent, try_send},
    kernel::{File, Inode, Task, sealing},
};

const ARMED: u64 = Sealing::Armed as u64;
const TOLD: u64 = Sealing::Told as u64;

/// Tells of the first file that was open for writing or had no name left, once for each time that
/// user space asks for it.
///
/// Its inode may be gone, and the memory another's: a release is then told for nothing, or not, and the
/// agent's timer finds out.
#[inline(always)]
pub(crate) fn released(file: File, inode: Inode) {
    if pending() != ARMED {
        return;
    }
    let may_have_blocked = file.mode() & FMODE_WRITE != 0 || inode.links() == 0;
    if may_have_blocked && !is_agent(Task::current()) && turn(ARMED, TOLD) {
        // Where the ring is full the next one tells.
        if !try_send(0, Reason::Unblocked) {
            turn(TOLD, ARMED);
        }
    }
}

#[inline(always)]
fn pending() -> u64 {
    // SAFETY: the variable lives as long as the programs. A plain load would be taken for the constant
    // that it begins with.
    unsafe { sealing().read_volatile() }
}

#[inline(always)]
fn turn(from: u64, to: u64) -> bool {
    const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
    // SAFETY: as above.
    unsafe { atomic_cxchg::<u64, ORDER, ORDER>(sealing(), from, to).1 }
}
