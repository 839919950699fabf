//! The ABI between the BPF programs and user space: names, keys and records.
#![no_std]

/// What the object file holds, by the names user space looks them up with.
pub mod names {
    /// LSM program on `file_open`: a file was opened.
    pub const FILE_OPEN: &str = "file_open";
    /// fexit program on `do_dentry_open`: the only hook that sees an `O_PATH` open.
    pub const PATH_OPEN: &str = "do_dentry_open";
    /// LSM program on `file_free_security`: a file is gone.
    pub const FILE_FREE: &str = "file_free_security";
    /// Iterator over every task's file descriptors.
    pub const ITER_FILES: &str = "iter_files";
    /// Iterator over every task's mappings.
    pub const ITER_MAPPINGS: &str = "iter_mappings";
    /// Every program of the object.
    pub const PROGRAMS: [&str; 5] = [FILE_OPEN, PATH_OPEN, FILE_FREE, ITER_FILES, ITER_MAPPINGS];

    /// Hash: address of a watched inode to the number of its counted files.
    pub const WATCHED: &str = "WATCHED";
    /// Hash: address of a counted file to the address of its inode.
    pub const FILES: &str = "FILES";
    /// Ring buffer of [`Release`](super::Release).
    pub const RELEASES: &str = "RELEASES";
    /// Array of event counts, indexed by [`Loss`](super::Loss).
    pub const LOSSES: &str = "LOSSES";
    /// Every map of the object.
    pub const MAPS: [&str; 4] = [WATCHED, FILES, RELEASES, LOSSES];

    /// The licence the kernel reads; some helpers are for GPL-compatible programs only.
    pub const LICENSE: &str = "Dual MIT/GPL";
}

/// Read-only globals that user space sets before loading, by name. The offsets are bytes into
/// the named kernel structure, read from the running kernel's BTF.
pub mod globals {
    /// Offset of `file.f_inode`.
    pub const FILE_INODE: &str = "FILE_INODE";
    /// Offset of `file.f_mode`.
    pub const FILE_MODE: &str = "FILE_MODE";
    /// Offset of `inode.i_sb`.
    pub const INODE_SUPER: &str = "INODE_SUPER";
    /// Offset of `super_block.s_dev`.
    pub const SUPER_DEVICE: &str = "SUPER_DEVICE";
    /// Offset of `vm_area_struct.vm_file`.
    pub const MAPPING_FILE: &str = "MAPPING_FILE";
    /// Offset of `task_struct.tgid`.
    pub const TASK_GROUP: &str = "TASK_GROUP";
    /// The tracked superblock's `s_dev`, encoded as the kernel does (`major << 20 | minor`).
    pub const DEVICE: &str = "DEVICE";
    /// Thread group of the agent, whose own opens are not counted.
    pub const AGENT: &str = "AGENT";
}

/// `FMODE_PATH` of the kernel: the file was opened with `O_PATH`.
pub const FMODE_PATH: u32 = 1 << 14;

/// Why a [`Release`] was sent.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last counted file of the inode is gone.
    LastHolder = 1,
    /// A file went that had never been counted: born before the programs were attached and
    /// out of the iterators' reach, such as a descriptor in flight.
    Uncounted = 2,
}

/// One record of the ring buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Release {
    /// Address of the inode, a key of `WATCHED`.
    pub inode: u64,
    /// `CLOCK_MONOTONIC` at the release, nanoseconds.
    pub at: u64,
    /// A [`Reason`].
    pub reason: u64,
}

/// One record of `ITER_FILES`: a file the agent has open itself on the tracked superblock. So it
/// learns the addresses of the inodes it is to watch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct OwnFile {
    /// Address of the inode.
    pub inode: u64,
    /// The agent's descriptor.
    pub descriptor: u64,
}

/// What can go wrong in the kernel, each counted in `LOSSES`. Every one of them is answered by
/// a resync: a new pass of the iterators and a look at each hold's lease.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The ring buffer had no room for a release.
    RingFull = 0,
    /// A birth could not be entered into `FILES`.
    Birth = 1,
    /// A death could not be taken out of `FILES`.
    Death = 2,
}

/// Number of [`Loss`] kinds.
pub const LOSS_KINDS: u32 = 3;
