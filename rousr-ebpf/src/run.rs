//! Mappings of one file in a row become one record, which is written when another file follows.
//!
//! One pass at a time does so; one that runs beside it writes each mapping by itself.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use rousr_ebpf::Visit;

use crate::{
    iterators::Meta,
    kernel::{File, Mapping, Task},
    visits::{around, of_mapping, write},
};

/// What a pass has seen last.
#[repr(C)]
struct Run {
    /// The pass that has it; 0 where none runs.
    session: u64,
    task: u64,
    file: u64,
    /// To be written; its `times` is 0 where the file is of no interest.
    visit: Visit,
}

#[btf_map]
static RUN: Array<Run, 1> = Array::new();

/// A mapping of a file.
#[inline(always)]
pub(crate) fn mapped(meta: *const Meta, task: Task, mapping: Mapping, file: File) {
    let Some(run) = own(meta) else {
        if let Some(visit) = of_mapping(task, mapping, file) {
            write(meta, &visit);
            around(meta, task, file, visit.inode);
        }
        return;
    };
    if run.file == file.address() && run.task == task.address() {
        if run.visit.times > 0 {
            run.visit.times += 1;
        }
        return;
    }
    // Where there is no room the kernel visits this mapping again.
    if run.visit.times > 0 && !write(meta, &run.visit) {
        return;
    }
    match of_mapping(task, mapping, file) {
        Some(visit) if around(meta, task, file, visit.inode) => run.visit = visit,
        Some(_) => return,
        None => run.visit.times = 0,
    }
    run.task = task.address();
    run.file = file.address();
}

/// The pass is over, unless there is no room for its last record: then the kernel ends it again.
#[inline(always)]
pub(crate) fn end(meta: *const Meta) {
    let Some(run) = own(meta) else {
        return;
    };
    if run.visit.times > 0 && !write(meta, &run.visit) {
        return;
    }
    run.visit.times = 0;
    run.file = 0;
    run.session = 0;
}

/// The run, where this pass has it or can have it.
#[inline(always)]
fn own(meta: *const Meta) -> Option<&'static mut Run> {
    // SAFETY: `meta` is the kernel's.
    let session = unsafe { (*meta).session };
    let run = RUN.get_ptr_mut(0)?;
    // SAFETY: an array's values live as long as the array. Only the pass whose number stands in
    // `session` touches the other members.
    let run = unsafe { &mut *run };
    if run.session == session {
        return Some(run);
    }
    // SAFETY: as above.
    let (_, taken) =
        unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(&raw mut run.session, 0, session) };
    taken.then_some(run)
}
