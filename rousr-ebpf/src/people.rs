//! What tells people who a task is and what it uses, read like the rest of the kernel's structures.

use aya_ebpf::{
    Global,
    bindings::path,
    helpers::generated::{bpf_skc_to_unix_sock, bpf_sock_from_file},
};
use rousr_ebpf::{Identity, InodeVisit, MAX_AROUND, UNTOLD};

use crate::kernel::{File, INODE_SUPER, Inode, Mapping, Task, globals, member};

/// From linux/stat.h: the bits of a mode that tell a type, and the socket's.
const S_IFMT: u32 = 0o170_000;
const S_IFSOCK: u32 = 0o140_000;
const S_IFREG: u32 = 0o100_000;

globals! {
    INODE_NUMBER: u64;
    INODE_GENERATION: u64;
    INODE_MODE: u64;
    AREA_START: u64;
    TASK_NAME: u64;
    TASK_MEMORY: u64;
    TASK_PLACE: u64;
    TASK_GROUPS: u64;
    GROUPS_UNIFIED: u64;
    GROUP_NODE: u64;
    NODE_NUMBER: u64;
    MEMORY_PROGRAM: u64;
    PLACE_CURRENT: u64;
    PLACE_ROOT: u64;
    PATH_ENTRY: u64;
    ENTRY_INODE: u64;
    ENTRY_PARENT: u64;
    FILE_PATH: u64;
    SUPER_NAMELESS: u64;
    SOCKET_SOCK: u64;
    SOCK_IN_FLIGHT: u64;
}

impl Inode {
    /// The inode as a visit tells it.
    #[inline(always)]
    pub(crate) fn visit(self) -> InodeVisit {
        InodeVisit {
            number: self.number(),
            links: self.links(),
            mode: u32::from(member::<u16>(self.0, &INODE_MODE)),
        }
    }

    #[inline(always)]
    pub(crate) fn number(self) -> u64 {
        member(self.0, &INODE_NUMBER)
    }

    #[inline(always)]
    pub(crate) fn identity(self) -> Identity {
        let generation: u32 = member(self.0, &INODE_GENERATION);
        [self.number(), u64::from(generation)]
    }

    #[inline(always)]
    pub(crate) fn is_regular(self) -> bool {
        self.kind() == S_IFREG
    }

    /// As [`visit`](Self::visit), or nothing where it is on another superblock.
    #[inline(always)]
    fn visit_if_tracked(self) -> InodeVisit {
        if !self.is_null() && self.superblock().1 {
            self.visit()
        } else {
            InodeVisit::default()
        }
    }

    /// `s_remove_count` of its superblock: what `sb_prepare_remount_readonly` (fs/namespace.c) refuses for.
    #[inline(always)]
    fn nameless(self) -> i64 {
        let superblock: *const u8 = member(self.0, &INODE_SUPER);
        member(superblock, &SUPER_NAMELESS)
    }

    #[inline(always)]
    pub(crate) fn is_socket(self) -> bool {
        self.kind() == S_IFSOCK
    }

    #[inline(always)]
    fn kind(self) -> u32 {
        u32::from(member::<u16>(self.0, &INODE_MODE)) & S_IFMT
    }
}

impl File {
    #[inline(always)]
    pub(crate) fn entry(self) -> Entry {
        Entry::of_path(self.pointer(), &FILE_PATH)
    }

    /// Its `f_path`.
    #[inline(always)]
    pub(crate) fn path(self) -> *mut path {
        // SAFETY: the path lies within the file, which the verifier checks.
        let path = unsafe { self.pointer().add(FILE_PATH.load() as usize) };
        path.cast_mut().cast()
    }

    /// Descriptors in the queue of this Unix socket; 0 for any other file.
    #[inline(always)]
    pub(crate) fn in_flight(self) -> u32 {
        // SAFETY: the verifier checks that it is a typed `struct file`; null for what is no socket.
        let socket = unsafe { bpf_sock_from_file(self.pointer().cast_mut().cast()) };
        if socket.is_null() {
            return 0;
        }
        let sock: *const u8 = member(socket.cast_const().cast(), &SOCKET_SOCK);
        if sock.is_null() {
            return 0;
        }
        // SAFETY: as above; null for what is no Unix socket.
        let sock = unsafe { bpf_skc_to_unix_sock(sock.cast_mut().cast()) };
        if sock.is_null() {
            return 0;
        }
        member(sock.cast_const().cast(), &SOCK_IN_FLIGHT)
    }
}

impl Mapping {
    #[inline(always)]
    pub(crate) fn start(self) -> u64 {
        member(self.0, &AREA_START)
    }
}

impl Task {
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub(crate) fn is(self, other: Task) -> bool {
        self.address() == other.address()
    }

    #[inline(always)]
    pub(crate) fn name(self) -> [u8; 16] {
        member(self.0, &TASK_NAME)
    }

    #[inline(always)]
    pub(crate) fn has_memory(self) -> bool {
        !member::<*const u8>(self.0, &TASK_MEMORY).is_null()
    }

    /// The inode number of the control group's directory in the unified hierarchy, 0 where none is.
    #[inline(always)]
    pub(crate) fn control_group(self) -> u64 {
        let mut structure = self.0;
        for offset in [&TASK_GROUPS, &GROUPS_UNIFIED, &GROUP_NODE] {
            structure = member(structure, offset);
            if structure.is_null() {
                return 0;
            }
        }
        member(structure, &NODE_NUMBER)
    }

    /// The running program, and the superblock's number of inodes without a name where it is on that.
    #[inline(always)]
    pub(crate) fn program(self) -> (InodeVisit, i64) {
        let none = (InodeVisit::default(), UNTOLD);
        let memory: *const u8 = member(self.0, &TASK_MEMORY);
        if memory.is_null() {
            return none;
        }
        let program: *const u8 = member(memory, &MEMORY_PROGRAM);
        if program.is_null() {
            return none;
        }
        let inode = File::from_kernel(program).inode();
        if inode.is_null() || !inode.superblock().1 {
            return none;
        }
        (inode.visit(), inode.nameless())
    }

    /// Where it is; null once it is exiting. Threads of a process share one, as a rule.
    #[inline(always)]
    pub(crate) fn place(self) -> Place {
        Place(member(self.0, &TASK_PLACE))
    }
}

/// A `struct fs_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Place(*const u8);

impl Place {
    #[inline(always)]
    pub(crate) fn is(self, other: Place) -> bool {
        self.0 as u64 == other.0 as u64
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The working directory.
    #[inline(always)]
    pub(crate) fn current(self) -> Entry {
        Entry::of_path(self.0, &PLACE_CURRENT)
    }

    /// The root directory.
    #[inline(always)]
    pub(crate) fn root(self) -> Entry {
        Entry::of_path(self.0, &PLACE_ROOT)
    }
}

/// A `struct dentry`. One that is in use keeps that of its directory, removed or not.
#[derive(Clone, Copy)]
pub(crate) struct Entry(*const u8);

impl Entry {
    /// That of the `struct path` at an offset within a structure.
    #[inline(always)]
    fn of_path(structure: *const u8, path: &Global<u64>) -> Self {
        // SAFETY: the path lies within the structure; the verifier checks the load from it.
        let path = unsafe { structure.add(path.load() as usize) };
        Self(member(path, &PATH_ENTRY))
    }

    /// Its inode as a visit tells it, or nothing where it is on another superblock.
    #[inline(always)]
    pub(crate) fn visit(self) -> InodeVisit {
        if self.0.is_null() {
            return InodeVisit::default();
        }
        Inode(member(self.0, &ENTRY_INODE)).visit_if_tracked()
    }

    /// Tells each removed directory around it, the innermost first, with the number of the inode that is in
    /// it. Whether `tell` did each time.
    #[inline(always)]
    pub(crate) fn around(self, number: u64, tell: impl Fn(u64, InodeVisit) -> bool) -> bool {
        let (mut below, mut entry) = (number, self.0);
        for _ in 0..MAX_AROUND {
            if entry.is_null() {
                break;
            }
            let parent: *const u8 = member(entry, &ENTRY_PARENT);
            // The root of a filesystem is its own, and so is a file without a place.
            if parent as u64 == entry as u64 || parent.is_null() {
                break;
            }
            let inode = Inode(member(parent, &ENTRY_INODE));
            if inode.is_null() {
                break;
            }
            let directory = inode.visit();
            if directory.links != 0 || directory.number == 0 {
                break;
            }
            if !tell(below, directory) {
                return false;
            }
            (below, entry) = (directory.number, parent);
        }
        true
    }
}
