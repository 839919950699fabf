//! The iterators: they count what was open before the programs were attached, and tell the agent
//! the addresses of its own inodes and of everybody's files on watched ones.
//!
//! While the kernel visits a file it holds a reference to it (a task's descriptors) or the lock
//! of the address space that does (mappings), so a visited file cannot die before it is counted.

use core::ptr;

use aya_ebpf::{bindings::seq_file, helpers::bpf_seq_write};
use rousr_ebpf::{NOT_OWN, Seen};

use crate::{
    counts::{enter, is_agent, watched},
    kernel::{File, Mapping, Task},
};

/// `struct bpf_iter_meta`.
#[repr(C)]
pub(crate) struct Meta {
    pub(crate) sequence: *mut seq_file,
    pub(crate) session: u64,
    number: u64,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub(crate) struct FileVisit {
    pub(crate) meta: *const Meta,
    pub(crate) task: *const u8,
    pub(crate) descriptor: u32,
    padding: u32,
    pub(crate) file: *const u8,
}

/// `struct bpf_iter__task_vma`.
#[repr(C)]
pub(crate) struct MappingVisit {
    pub(crate) meta: *const Meta,
    pub(crate) task: *const u8,
    pub(crate) mapping: *const u8,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn iter_files(visit: *const FileVisit) -> i32 {
    // SAFETY: the kernel calls an iterator with its context, which the verifier bounds.
    let FileVisit {
        meta,
        task,
        descriptor,
        file,
        ..
    } = unsafe { visit.read() };
    // The kernel ends each pass with a visit to nothing.
    if task.is_null() || file.is_null() {
        return 0;
    }
    let file = File::from_kernel(file);
    if !is_agent(Task(task)) {
        count(meta, file);
    } else if file.inode().superblock().1 {
        write(meta, file, descriptor);
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
extern "C" fn iter_mappings(visit: *const MappingVisit) -> i32 {
    // SAFETY: the kernel calls an iterator with its context, which the verifier bounds.
    let MappingVisit {
        meta,
        task,
        mapping,
    } = unsafe { visit.read() };
    if task.is_null() || mapping.is_null() || is_agent(Task(task)) {
        return 0;
    }
    let file = Mapping(mapping).file();
    if !file.is_null() {
        count(meta, file);
    }
    0
}

#[inline(always)]
fn count(meta: *const Meta, file: File) {
    let inode = file.inode();
    let Some(holders) = watched(inode) else {
        return;
    };
    if file.is_user() {
        enter(file, inode, holders);
    }
    write(meta, file, NOT_OWN);
}

#[inline(always)]
fn write(meta: *const Meta, file: File, descriptor: u32) {
    let seen = Seen {
        inode: file.inode().address(),
        file: file.address(),
        superblock: file.inode().superblock().0,
        descriptor,
        mode: file.mode(),
    };
    // SAFETY: `meta` is the kernel's, and the record is whole and initialised. Where the buffer
    // is full, the kernel visits this file again at the next read.
    unsafe {
        bpf_seq_write(
            (*meta).sequence,
            ptr::from_ref(&seen).cast(),
            size_of::<Seen>() as u32,
        )
    };
}
