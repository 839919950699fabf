//! The kernel's structures, read at offsets that user space takes from the running kernel's BTF.
//!
//! The globals are in the frozen read-only map, so the verifier knows the offsets as constants
//! and checks each load against the kernel's types; a load through a stale pointer reads zero.

use aya_ebpf::Global;

macro_rules! globals {
    ($($name:ident: $type:ty;)*) => {
        $(#[unsafe(no_mangle)] static $name: Global<$type> = Global::new(0);)*
    };
}

globals! {
    FILE_INODE: u64;
    FILE_MODE: u64;
    INODE_SUPER: u64;
    SUPER_DEVICE: u64;
    MAPPING_FILE: u64;
    TASK_GROUP: u64;
    DEVICE: u32;
    AGENT: u32;
}

/// Reads the member at `offset` of the kernel structure at `base`.
#[inline(always)]
fn member<T: Copy>(base: *const u8, offset: &Global<u64>) -> T {
    // SAFETY: `base` came from the kernel as a typed pointer, and the verifier refuses the
    // program unless the kernel's BTF has a member of this size at this offset.
    unsafe { base.add(offset.load() as usize).cast::<T>().read() }
}

/// A `struct file`.
#[derive(Clone, Copy)]
pub(crate) struct File(*const u8);

impl File {
    #[inline(always)]
    pub(crate) fn from_kernel(file: *const u8) -> Self {
        Self(file)
    }

    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    pub(crate) fn inode(self) -> Inode {
        Inode(member(self.0, &FILE_INODE))
    }

    #[inline(always)]
    pub(crate) fn mode(self) -> u32 {
        member(self.0, &FILE_MODE)
    }
}

/// A `struct inode`; in the release program an address only.
#[derive(Clone, Copy)]
pub(crate) struct Inode(*const u8);

impl Inode {
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    /// Whether the inode is on the tracked superblock.
    #[inline(always)]
    pub(crate) fn is_tracked(self) -> bool {
        let superblock: *const u8 = member(self.0, &INODE_SUPER);
        member::<u32>(superblock, &SUPER_DEVICE) == DEVICE.load()
    }
}

/// A `struct task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(pub(crate) *const u8);

impl Task {
    #[inline(always)]
    pub(crate) fn group(self) -> u32 {
        member(self.0, &TASK_GROUP)
    }
}

/// A `struct vm_area_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Mapping(pub(crate) *const u8);

impl Mapping {
    #[inline(always)]
    pub(crate) fn file(self) -> File {
        File(member(self.0, &MAPPING_FILE))
    }
}

/// Whether `group` is the agent, which does not count as a holder.
#[inline(always)]
pub(crate) fn is_agent(group: u32) -> bool {
    group == AGENT.load()
}
