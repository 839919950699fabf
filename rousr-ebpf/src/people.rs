//! What tells people who a task is and what it uses, read like the rest of the kernel's structures.

use aya_ebpf::Global;
use rousr_ebpf::InodeVisit;

use crate::kernel::{File, Inode, Mapping, Task, globals, member};

globals! {
    INODE_NUMBER: u64;
    INODE_LINKS: u64;
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
}

impl Inode {
    /// The inode as a visit tells it.
    #[inline(always)]
    pub(crate) fn visit(self) -> InodeVisit {
        InodeVisit {
            number: member(self.0, &INODE_NUMBER),
            links: member(self.0, &INODE_LINKS),
            mode: u32::from(member::<u16>(self.0, &INODE_MODE)),
        }
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

    /// The running program.
    #[inline(always)]
    pub(crate) fn program(self) -> InodeVisit {
        let memory: *const u8 = member(self.0, &TASK_MEMORY);
        if memory.is_null() {
            return InodeVisit::default();
        }
        let program: *const u8 = member(memory, &MEMORY_PROGRAM);
        if program.is_null() {
            return InodeVisit::default();
        }
        File::from_kernel(program).inode().visit_if_tracked()
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
    pub(crate) fn current(self) -> InodeVisit {
        self.directory(&PLACE_CURRENT)
    }

    /// The root directory.
    #[inline(always)]
    pub(crate) fn root(self) -> InodeVisit {
        self.directory(&PLACE_ROOT)
    }

    #[inline(always)]
    fn directory(self, path: &Global<u64>) -> InodeVisit {
        // SAFETY: a `struct path` lies within the structure; the verifier checks the load from it.
        let path = unsafe { self.0.add(path.load() as usize) };
        let entry: *const u8 = member(path, &PATH_ENTRY);
        if entry.is_null() {
            return InodeVisit::default();
        }
        Inode(member(entry, &ENTRY_INODE)).visit_if_tracked()
    }
}
