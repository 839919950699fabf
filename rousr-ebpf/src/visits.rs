//! The iterators that tell who uses what of the tracked superblock, one record a visit.
//!
//! They only write: user space joins the records. Where the buffer is full the kernel drops what
//! the visit wrote, and visits the same object again at the next read.

use core::ptr;

use aya_ebpf::helpers::bpf_seq_write;
use rousr_ebpf::{FMODE_PATH, FMODE_WRITE, InodeVisit, TaskVisit, UNTOLD, Visit, visit_flags};

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
    let (mut current, mut root) = (InodeVisit::default(), InodeVisit::default());
    if !place.is_null() {
        (current, root) = (place.current().visit(), place.root().visit());
        if current.number != 0 {
            place.current().around(current.number, |below, directory| {
                write(meta, &around_place(task, directory, below, 0))
            });
        }
        if root.number != 0 {
            place.root().around(root.number, |below, directory| {
                write(meta, &around_place(task, directory, 0, below))
            });
        }
    }
    let (program, nameless) = task.program();
    let record = TaskVisit {
        started: task.started(),
        control_group: leader.control_group(),
        group: task.group(),
        flags: if is_leader { 0 } else { visit_flags::THREAD },
        name: leader.name(),
        program,
        current,
        root,
        nameless,
    };
    write(meta, &record);
    0
}

#[inline(always)]
fn around_place(task: Task, directory: InodeVisit, current: u64, root: u64) -> TaskVisit {
    let below = |number| InodeVisit {
        number,
        links: 0,
        mode: 0,
    };
    TaskVisit {
        started: task.started(),
        control_group: 0,
        group: task.group(),
        flags: visit_flags::AROUND,
        name: [0; 16],
        program: directory,
        current: below(current),
        root: below(root),
        nameless: UNTOLD,
    }
}

/// Each descriptor but the agent's, and the sockets that have descriptors in flight. Of threads that share their descriptors the kernel visits one.
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
    let (flags, times, inode) = if inode.superblock().1 {
        (access(file), 1, inode.visit())
    } else if inode.is_socket() {
        let files = file.in_flight();
        if files == 0 {
            return 0;
        }
        (visit_flags::IN_FLIGHT, files, InodeVisit::default())
    } else {
        return 0;
    };
    if is_agent(task) {
        return 0;
    }
    let record = Visit {
        started: task.started(),
        value: u64::from(descriptor),
        group: task.group(),
        flags,
        times: u64::from(times),
        inode,
    };
    write(meta, &record);
    if inode.number != 0 {
        around(meta, task, file, inode);
    }
    0
}

/// Tells the removed directories around a file of the superblock. Whether there was room.
#[inline(always)]
pub(crate) fn around(meta: *const Meta, task: Task, file: File, inode: InodeVisit) -> bool {
    file.entry().around(inode.number, |below, directory| {
        let record = Visit {
            started: task.started(),
            value: 0,
            group: task.group(),
            flags: visit_flags::AROUND,
            times: below,
            inode: directory,
        };
        write(meta, &record)
    })
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
