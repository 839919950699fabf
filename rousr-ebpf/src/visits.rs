//! The iterators that tell who uses what of the tracked superblock, one record a visit.
//!
//! They only write: user space joins the records. Where the buffer is full the kernel drops what
//! the visit wrote, and visits the same object again at the next read.

use core::ptr;

use aya_ebpf::helpers::bpf_seq_write;
use rousr_ebpf::{FMODE_PATH, FMODE_WRITE, InodeVisit, TaskVisit, Visit, visit_flags};

use crate::{
    counts::is_agent,
    iterators::{FileVisit, MappingVisit, Meta},
    kernel::{File, Mapping, Task},
    run,
};

/// `struct bpf_iter__task`.
#[repr(C)]
struct Context {
    meta: *const Meta,
    task: *const u8,
}

/// Each process but the agent, and each thread with a place of its own.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn visit_tasks(context: *const Context) -> i32 {
    // SAFETY: the kernel calls an iterator with its context, which the verifier bounds.
    let Context { meta, task } = unsafe { context.read() };
    // The kernel ends each pass with a visit to nothing.
    if task.is_null() {
        return 0;
    }
    let task = Task(task);
    if is_agent(task) {
        return 0;
    }
    let leader = task.leader();
    let place = task.place();
    let is_leader = task.is(leader);
    if !is_leader && (place.is_null() || place.is(leader.place())) {
        return 0;
    }
    let (current, root) = if place.is_null() {
        (InodeVisit::default(), InodeVisit::default())
    } else {
        (place.current(), place.root())
    };
    let record = TaskVisit {
        started: task.started(),
        control_group: leader.control_group(),
        group: task.group(),
        flags: if is_leader { 0 } else { visit_flags::THREAD },
        name: leader.name(),
        program: task.program(),
        current,
        root,
    };
    write(meta, &record);
    0
}

/// Each descriptor but the agent's. Of threads that share their descriptors the kernel visits one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn visit_files(context: *const FileVisit) -> i32 {
    // SAFETY: as above.
    let FileVisit {
        meta,
        task,
        descriptor,
        file,
        ..
    } = unsafe { context.read() };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let (task, file) = (Task(task), File::from_kernel(file));
    let inode = file.inode();
    if !inode.superblock().1 || is_agent(task) {
        return 0;
    }
    let record = Visit {
        started: task.started(),
        value: u64::from(descriptor),
        group: task.group(),
        flags: access(file),
        times: 1,
        inode: inode.visit(),
    };
    write(meta, &record);
    0
}

/// Each file that a process has mapped, once for all mappings of it in a row: a library lies in
/// memory in five pieces.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
extern "C" fn visit_mappings(context: *const MappingVisit) -> i32 {
    // SAFETY: as above.
    let MappingVisit {
        meta,
        task,
        mapping,
    } = unsafe { context.read() };
    if task.is_null() || mapping.is_null() {
        run::end(meta);
        return 0;
    }
    let mapping = Mapping(mapping);
    let file = mapping.file();
    if !file.is_null() {
        run::mapped(meta, Task(task), mapping, file);
    }
    0
}

/// The visit of a mapping; nothing where it is not on the tracked superblock, or is told by the first
/// thread of its process. Where that one has exited, all others tell.
#[inline(always)]
pub(crate) fn of_mapping(task: Task, mapping: Mapping, file: File) -> Option<Visit> {
    let inode = file.inode();
    if !inode.superblock().1 {
        return None;
    }
    let leader = task.leader();
    let is_leader = task.is(leader);
    if !is_leader && leader.has_memory() {
        return None;
    }
    let thread = if is_leader { 0 } else { visit_flags::THREAD };
    Some(Visit {
        started: task.started(),
        value: mapping.start(),
        group: task.group(),
        flags: access(file) | thread,
        times: 1,
        inode: inode.visit(),
    })
}

#[inline(always)]
fn access(file: File) -> u32 {
    let mode = file.mode();
    let path = if mode & FMODE_PATH != 0 {
        visit_flags::PATH
    } else {
        0
    };
    let write = if mode & FMODE_WRITE != 0 {
        visit_flags::WRITE
    } else {
        0
    };
    path | write
}

/// Whether there was room.
#[inline(always)]
pub(crate) fn write<T>(meta: *const Meta, record: &T) -> bool {
    // SAFETY: `meta` is the kernel's.
    let sequence = unsafe { (*meta).sequence };
    // SAFETY: a record is whole, initialised and without padding.
    let written = unsafe {
        bpf_seq_write(
            sequence,
            ptr::from_ref(record).cast(),
            size_of::<T>() as u32,
        )
    };
    written == 0
}
