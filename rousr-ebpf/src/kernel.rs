//! The kernel's structures, read at offsets that user space takes from the running kernel's BTF.
//!
//! The globals are in the frozen read-only map, so the verifier knows the offsets as constants
//! and checks each load against the kernel's types; a load through a stale pointer reads zero.

use core::sync::atomic::AtomicU64;

use aya_ebpf::{
    Global, bindings::task_struct, helpers::bpf_probe_read_kernel,
    helpers::generated::bpf_get_current_task_btf,
};
use rousr_ebpf::{FMODE_READ, FMODE_WRITE, MAX_ALIASES, Told};

macro_rules! globals {
    ($($name:ident: $type:ty;)*) => {
        $(#[unsafe(no_mangle)] pub(crate) static $name: Global<$type> = Global::new(0);)*
    };
}
pub(crate) use globals;

globals! {
    FILE_INODE: u64;
    FILE_MAPPING: u64;
    FILE_MODE: u64;
    INODE_SUPER: u64;
    MAPPING_HOST: u64;
    INODE_READERS: u64;
    INODE_WRITERS: u64;
    INODE_REFERENCES: u64;
    INODE_DENTRIES: u64;
    INODE_MARKS: u64;
    INODE_LINKS: u64;
    DENTRY_ALIAS: u64;
    DENTRY_REFERENCES: u64;
    SUPER_DEVICE: u64;
    AREA_FILE: u64;
    TASK_GROUP: u64;
    TASK_LEADER: u64;
    TASK_STARTED: u64;
    DEVICE: u32;
}

/// The one variable of `.bss`.
#[unsafe(no_mangle)]
static TOLD: Told = Told {
    superblock: AtomicU64::new(0),
    sealing: AtomicU64::new(0),
    newcomers: AtomicU64::new(0),
};

/// Where it is told whether a seal is pending.
#[inline(always)]
pub(crate) fn sealing() -> *mut u64 {
    TOLD.sealing.as_ptr()
}

/// Whether newcomers are to be told.
#[inline(always)]
pub(crate) fn tells_newcomers() -> bool {
    // SAFETY: the variable lives as long as the programs, and user space writes whole words. A plain load
    // would be taken for the constant that it begins with.
    unsafe { TOLD.newcomers.as_ptr().read_volatile() != 0 }
}

/// Reads the member at `offset` of the kernel structure at `base`.
#[inline(always)]
pub(crate) fn member<T: Copy>(base: *const u8, offset: &Global<u64>) -> T {
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
    pub(crate) fn pointer(self) -> *const u8 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    pub(crate) fn inode(self) -> Inode {
        Inode(member(self.0, &FILE_INODE))
    }

    /// The inode that a failed open had: it clears `f_inode` and leaves `f_mapping`
    /// (`do_dentry_open`). Null where the open never had one.
    #[inline(always)]
    pub(crate) fn lost_inode(self) -> Inode {
        let mapping: *const u8 = member(self.0, &FILE_MAPPING);
        if mapping.is_null() {
            return Inode(mapping);
        }
        Inode(member(mapping, &MAPPING_HOST))
    }

    #[inline(always)]
    pub(crate) fn mode(self) -> u32 {
        member(self.0, &FILE_MODE)
    }

    /// Whether the kernel's own counters know the file: it reads or writes. They do not know an
    /// `O_PATH` file, nor one for ioctls only (access mode 3).
    #[inline(always)]
    pub(crate) fn is_user(self) -> bool {
        self.mode() & (FMODE_READ | FMODE_WRITE) != 0
    }
}

/// A `struct inode`. In the release program it may be gone, unless it is watched: then the agent
/// keeps it in memory.
#[derive(Clone, Copy)]
pub(crate) struct Inode(pub(crate) *const u8);

impl Inode {
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The inode's superblock, and whether it is the tracked one.
    #[inline(always)]
    pub(crate) fn superblock(self) -> (u64, bool) {
        let superblock: *const u8 = member(self.0, &INODE_SUPER);
        let tracked = member::<u32>(superblock, &SUPER_DEVICE) == DEVICE.load();
        (superblock as u64, tracked)
    }

    /// The superblock's address where it is the one that user space told.
    #[inline(always)]
    pub(crate) fn told_superblock(self) -> Option<u64> {
        let superblock: *const u8 = member(self.0, &INODE_SUPER);
        // SAFETY: nothing but user space writes it, a whole word at a time. No program does: a plain
        // load would be taken for the constant that the variable begins with.
        let told = unsafe { TOLD.superblock.as_ptr().read_volatile() };
        // Of two equal words the compiler takes either, and the verifier lets only an address be
        // taken off an address. Half of it is enough for a filter.
        (superblock as u64 as u32 == told as u32).then_some(superblock as u64)
    }

    /// `i_nlink`: its names.
    #[inline(always)]
    pub(crate) fn links(self) -> u32 {
        member(self.0, &INODE_LINKS)
    }

    /// `i_readcount`: files open for reading only.
    #[inline(always)]
    pub(crate) fn readers(self) -> i32 {
        member(self.0, &INODE_READERS)
    }

    /// `i_writecount`: files open for writing; negative where running programs deny that.
    #[inline(always)]
    pub(crate) fn writers(self) -> i32 {
        member(self.0, &INODE_WRITERS)
    }

    /// `i_count`.
    #[inline(always)]
    pub(crate) fn references(self) -> i32 {
        member(self.0, &INODE_REFERENCES)
    }

    #[inline(always)]
    pub(crate) fn has_marks(self) -> bool {
        member::<u64>(self.0, &INODE_MARKS) != 0
    }

    /// The number of the inode's dentries, and the sum of their reference counts. The list may
    /// change meanwhile: who relies on it asks again.
    #[inline(always)]
    pub(crate) fn dentries(self) -> (u64, i64) {
        let mut node: u64 = member(self.0, &INODE_DENTRIES);
        let (mut aliases, mut sum) = (0, 0);
        for _ in 0..MAX_ALIASES {
            if node == 0 {
                break;
            }
            aliases += 1;
            let dentry = node.wrapping_sub(DENTRY_ALIAS.load());
            let count = dentry.wrapping_add(DENTRY_REFERENCES.load()) as *const i32;
            // SAFETY: the helper checks the address itself.
            let count = unsafe { bpf_probe_read_kernel(count) }.unwrap_or(0);
            // A dentry that is being freed has a negative count.
            sum += i64::from(count.max(0));
            // SAFETY: as above; `next` is the first member of `struct hlist_node`.
            node = unsafe { bpf_probe_read_kernel(node as *const u64) }.unwrap_or(0);
        }
        (aliases, sum)
    }
}

/// A `struct task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(pub(crate) *const u8);

impl Task {
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: the helper has no precondition.
        let task: *mut task_struct = unsafe { bpf_get_current_task_btf() };
        Self(task.cast_const().cast())
    }

    #[inline(always)]
    pub(crate) fn group(self) -> u32 {
        member(self.0, &TASK_GROUP)
    }

    /// The first thread of its process; a zombie where that has exited before others.
    #[inline(always)]
    pub(crate) fn leader(self) -> Self {
        Self(member(self.0, &TASK_LEADER))
    }

    /// When the process started, nanoseconds since boot.
    #[inline(always)]
    pub(crate) fn started(self) -> u64 {
        member(self.leader().0, &TASK_STARTED)
    }
}

/// A `struct vm_area_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Mapping(pub(crate) *const u8);

impl Mapping {
    #[inline(always)]
    pub(crate) fn file(self) -> File {
        File(member(self.0, &AREA_FILE))
    }
}
