//! The ABI between the BPF programs and user space: names, keys and records.
#![no_std]

use core::sync::atomic::AtomicU64;

/// Version of the maps' layout. Pinned maps of another version are never used: raise it with
/// every change of a map's key, value or meaning.
pub const LAYOUT: u32 = 2;

/// What the object file holds, by the names user space looks them up with.
pub mod names {
    /// LSM program on `file_open`: a file was opened.
    pub const FILE_OPEN: &str = "file_open";
    /// LSM program on `file_free_security`: a file is gone.
    pub const FILE_FREE: &str = "file_free_security";
    /// fentry program that does the work of [`FILE_OPEN`] where the BPF LSM is not active.
    pub const FENTRY_OPEN: &str = "security_file_open";
    /// fentry program that does the work of [`FILE_FREE`] where the BPF LSM is not active.
    pub const FENTRY_FREE: &str = "security_file_free";
    /// Iterator over every task's file descriptors.
    pub const ITER_FILES: &str = "iter_files";
    /// Iterator over every task's mappings.
    pub const ITER_MAPPINGS: &str = "iter_mappings";
    /// Iterator that writes a [`TaskVisit`](super::TaskVisit) for each process.
    pub const VISIT_TASKS: &str = "visit_tasks";
    /// Iterator that writes a [`Visit`](super::Visit) for each descriptor on the superblock.
    pub const VISIT_FILES: &str = "visit_files";
    /// Iterator that writes a [`Visit`](super::Visit) for each mapping on the superblock.
    pub const VISIT_MAPPINGS: &str = "visit_mappings";
    /// Every program of the object.
    pub const PROGRAMS: [&str; 9] = [
        FILE_OPEN,
        FILE_FREE,
        FENTRY_OPEN,
        FENTRY_FREE,
        ITER_FILES,
        ITER_MAPPINGS,
        VISIT_TASKS,
        VISIT_FILES,
        VISIT_MAPPINGS,
    ];

    /// Hash: address of a watched inode to the number of its counted files.
    pub const WATCHED: &str = "WATCHED";
    /// Array: a bit for each watched inode, by [`filter_bit`](super::filter_bit).
    pub const FILTER: &str = "FILTER";
    /// Array of [`Row`](super::Row): the counted files.
    pub const TABLE: &str = "TABLE";
    /// Hash: address of a counted file that found no place in `TABLE` to the address of its inode.
    pub const FILES: &str = "FILES";
    /// Ring buffer of [`Release`](super::Release).
    pub const RELEASES: &str = "RELEASES";
    /// Array of event counts, indexed by [`Loss`](super::Loss).
    pub const LOSSES: &str = "LOSSES";
    /// Array of one [`Agent`](super::Agent).
    pub const AGENT: &str = "AGENT";
    /// Array of one [`Truth`](super::Truth).
    pub const TRUTH: &str = "TRUTH";
    /// Array of one map, for waiting.
    pub const GRACE: &str = "GRACE";
    /// Ring buffer of [`Newcomer`](super::Newcomer).
    pub const NEWCOMERS: &str = "NEWCOMERS";
    /// Hash: [`Identity`](super::Identity) of an inode that was told as a newcomer.
    pub const KNOWN: &str = "KNOWN";
    /// Array of event counts, indexed by [`Untold`](super::Untold).
    pub const UNTOLD: &str = "UNTOLD";
    /// Array of one [`Told`](super::Told).
    pub const TOLD: &str = ".bss";
    /// Array of one: the mappings that [`VISIT_MAPPINGS`] is about to tell.
    pub const RUN: &str = "RUN";
    /// Every map of the object.
    pub const MAPS: [&str; 13] = [
        WATCHED, FILTER, TABLE, FILES, RELEASES, LOSSES, AGENT, TRUTH, GRACE, RUN, NEWCOMERS,
        KNOWN, UNTOLD,
    ];
    /// The maps that outlive the agent.
    pub const PINNED: [&str; 8] = [
        WATCHED, FILTER, TABLE, FILES, RELEASES, LOSSES, AGENT, TRUTH,
    ];

    /// The licence the kernel reads; some helpers are for GPL-compatible programs only.
    pub const LICENSE: &str = "Dual MIT/GPL";
}

/// Read-only globals that user space sets before loading, by name. The offsets are bytes into
/// the named kernel structure, read from the running kernel's BTF.
pub mod globals {
    /// Offset of `file.f_inode`.
    pub const FILE_INODE: &str = "FILE_INODE";
    /// Offset of `file.f_mapping`.
    pub const FILE_MAPPING: &str = "FILE_MAPPING";
    /// Offset of `file.f_mode`.
    pub const FILE_MODE: &str = "FILE_MODE";
    /// Offset of `inode.i_sb`.
    pub const INODE_SUPER: &str = "INODE_SUPER";
    /// Offset of `inode.i_readcount`.
    pub const INODE_READERS: &str = "INODE_READERS";
    /// Offset of `inode.i_writecount`.
    pub const INODE_WRITERS: &str = "INODE_WRITERS";
    /// Offset of `inode.i_count`.
    pub const INODE_REFERENCES: &str = "INODE_REFERENCES";
    /// Offset of `inode.i_dentry`.
    pub const INODE_DENTRIES: &str = "INODE_DENTRIES";
    /// Offset of `inode.i_fsnotify_marks`.
    pub const INODE_MARKS: &str = "INODE_MARKS";
    /// Offset of `dentry.d_u.d_alias`.
    pub const DENTRY_ALIAS: &str = "DENTRY_ALIAS";
    /// Offset of `dentry.d_lockref.count`.
    pub const DENTRY_REFERENCES: &str = "DENTRY_REFERENCES";
    /// Offset of `super_block.s_dev`.
    pub const SUPER_DEVICE: &str = "SUPER_DEVICE";
    /// Offset of `address_space.host`.
    pub const MAPPING_HOST: &str = "MAPPING_HOST";
    /// Offset of `vm_area_struct.vm_file`.
    pub const AREA_FILE: &str = "AREA_FILE";
    /// Offset of `task_struct.tgid`.
    pub const TASK_GROUP: &str = "TASK_GROUP";
    /// Offset of `task_struct.group_leader`.
    pub const TASK_LEADER: &str = "TASK_LEADER";
    /// Offset of `task_struct.start_boottime`.
    pub const TASK_STARTED: &str = "TASK_STARTED";
    /// The tracked superblock's `s_dev`, encoded as the kernel does (`major << 20 | minor`).
    pub const DEVICE: &str = "DEVICE";

    // What the visits read besides.
    /// Offset of `inode.i_ino`.
    pub const INODE_NUMBER: &str = "INODE_NUMBER";
    /// Offset of `inode.i_generation`.
    pub const INODE_GENERATION: &str = "INODE_GENERATION";
    /// Offset of `inode.i_nlink`.
    pub const INODE_LINKS: &str = "INODE_LINKS";
    /// Offset of `inode.i_mode`.
    pub const INODE_MODE: &str = "INODE_MODE";
    /// Offset of `vm_area_struct.vm_start`.
    pub const AREA_START: &str = "AREA_START";
    /// Offset of `task_struct.comm`.
    pub const TASK_NAME: &str = "TASK_NAME";
    /// Offset of `task_struct.mm`.
    pub const TASK_MEMORY: &str = "TASK_MEMORY";
    /// Offset of `task_struct.fs`.
    pub const TASK_PLACE: &str = "TASK_PLACE";
    /// Offset of `task_struct.cgroups`.
    pub const TASK_GROUPS: &str = "TASK_GROUPS";
    /// Offset of `css_set.dfl_cgrp`.
    pub const GROUPS_UNIFIED: &str = "GROUPS_UNIFIED";
    /// Offset of `cgroup.kn`.
    pub const GROUP_NODE: &str = "GROUP_NODE";
    /// Offset of `kernfs_node.id`.
    pub const NODE_NUMBER: &str = "NODE_NUMBER";
    /// Offset of `mm_struct.exe_file`.
    pub const MEMORY_PROGRAM: &str = "MEMORY_PROGRAM";
    /// Offset of `fs_struct.pwd`.
    pub const PLACE_CURRENT: &str = "PLACE_CURRENT";
    /// Offset of `fs_struct.root`.
    pub const PLACE_ROOT: &str = "PLACE_ROOT";
    /// Offset of `path.dentry`.
    pub const PATH_ENTRY: &str = "PATH_ENTRY";
    /// Offset of `dentry.d_inode`.
    pub const ENTRY_INODE: &str = "ENTRY_INODE";
    /// Offset of `dentry.d_parent`.
    pub const ENTRY_PARENT: &str = "ENTRY_PARENT";
    /// Offset of `file.f_path`.
    pub const FILE_PATH: &str = "FILE_PATH";
    /// Offset of `super_block.s_remove_count`.
    pub const SUPER_NAMELESS: &str = "SUPER_NAMELESS";
    /// Offset of `socket.sk`.
    pub const SOCKET_SOCK: &str = "SOCKET_SOCK";
    /// Offset of `unix_sock.scm_stat.nr_fds`.
    pub const SOCK_IN_FLIGHT: &str = "SOCK_IN_FLIGHT";
}

/// `FMODE_READ` of the kernel: the file is open for reading.
pub const FMODE_READ: u32 = 1;
/// `FMODE_WRITE` of the kernel: the file is open for writing.
pub const FMODE_WRITE: u32 = 2;
/// `FMODE_PATH` of the kernel: the file was opened with `O_PATH`.
pub const FMODE_PATH: u32 = 1 << 14;

/// Words of the filter, 64 bits each: 8 KiB that tell most files of no interest without a lookup.
pub const FILTER_WORDS: u32 = 1024;

/// The bit of the filter that stands for the inode at `address`: the upper bits of a product with
/// the golden ratio, as in the kernel's `hash_64`. The verifier allows no arithmetic with a pointer,
/// but the difference of two is a number.
#[inline(always)]
pub const fn filter_bit(address: u64, superblock: u64) -> u32 {
    let distance = address.wrapping_sub(superblock);
    (distance.wrapping_mul(0x61c8_8646_80b5_83eb) >> 48) as u32
}

/// Files in a row of `TABLE`.
pub const ROW_PLACES: usize = 4;
/// A row of `TABLE`: for each place the address of a file, zero where it is free, and that of its inode.
pub type Row = [u64; 2 * ROW_PLACES];
/// The last row is none: it tells in its second word whether a row was ever full.
pub const OVERFLOW_ROW: u32 = 1 << 14;
/// Number of rows of `TABLE`.
pub const TABLE_ROWS: u32 = OVERFLOW_ROW + 1;

/// The row of `TABLE` for a file of an inode, by their addresses. The verifier allows no arithmetic on
/// a pointer but a difference.
#[inline(always)]
pub const fn table_row(file: u64, inode: u64) -> u32 {
    (file.wrapping_sub(inode).wrapping_mul(0x61c8_8646_80b5_83eb) >> 50) as u32
}

/// What user space tells the programs while they run.
#[repr(C)]
pub struct Told {
    /// Address of the tracked superblock, before anything is watched.
    pub superblock: AtomicU64,
    /// A [`Sealing`]; programs turn [`Sealing::Armed`] into [`Sealing::Told`].
    pub sealing: AtomicU64,
    /// 1 while newcomers are to be told, else 0.
    pub newcomers: AtomicU64,
}

/// Whether a seal is pending.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// None is.
    Idle = 0,
    /// One is: the next release of what may block it is to be told.
    Armed = 1,
    /// It was told.
    Told = 2,
}

/// Why a [`Release`] was sent.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last counted file of the inode is gone.
    LastHolder = 1,
    /// A file went that had never been counted: born before the programs were attached and
    /// out of the iterators' reach, such as a descriptor in flight.
    Uncounted = 2,
    /// A file that only refers to the inode (`O_PATH`, access mode 3) went while no counted file was
    /// there.
    Reference = 3,
    /// The kernel's own counters are zero and ours is not: the death of another file is under
    /// way on another CPU, or the count is wrong.
    Unused = 4,
    /// Something was lost; [`Loss`] says what.
    Lost = 5,
    /// A seal is pending, and a file went that may have been in its way. Of no watched inode.
    Unblocked = 6,
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
    pub reason: u32,
    /// The process that let go of the file last; a kernel thread's where the kernel did that later.
    pub process: u32,
    /// Its control group, by number.
    pub control_group: u64,
    /// The name of the task, ended by a zero.
    pub name: [u8; 16],
}

/// An inode by what no later one of its filesystem shares: its number and its generation (`i_generation`),
/// which the filesystem changes where it gives a number to another inode.
pub type Identity = [u64; 2];

/// Newcomers that are told until user space forgets them: what the triggers of a large upgrade read beside the
/// files in use. Each takes a link, and an unlink at the end: together a quarter of a second.
pub const MAX_NEWCOMERS: u32 = 8192;

/// Bytes of a path that are told, its zero included. The files of Debian's packages have shorter ones.
pub const NEWCOMER_PATH: usize = 240;

/// A regular file of the tracked superblock that was opened for reading while newcomers were to be told.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Newcomer {
    /// The inode's number.
    pub inode: u64,
    /// Bytes of the path, its zero included; 0 where it is too long.
    pub length: u64,
    /// The path as whoever opened it sees it; what follows it means nothing.
    pub path: [u8; NEWCOMER_PATH],
}

/// Why a newcomer is not told. Nothing answers it: the next open tries again.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// There were [`MAX_NEWCOMERS`] before it.
    TooMany = 0,
    /// The ring buffer had no room.
    RingFull = 1,
}

/// Number of [`Untold`] kinds.
pub const UNTOLD_KINDS: u32 = 2;

/// A file that an iterator visited: the agent's own on the tracked superblock, so that it learns
/// the addresses of the inodes it is to watch, and everybody's on a watched inode.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Seen {
    /// Address of the inode.
    pub inode: u64,
    /// Address of the file.
    pub file: u64,
    /// Address of the inode's superblock.
    pub superblock: u64,
    /// The agent's descriptor, or [`NOT_OWN`].
    pub descriptor: u32,
    /// `file.f_mode`.
    pub mode: u32,
}

/// [`Seen::descriptor`] of a file that is not the agent's.
pub const NOT_OWN: u32 = u32::MAX;

/// The process whose own files are no holders.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its thread group.
    pub group: u64,
    /// When it started, in units of 1/100 s since boot as in field 22 of /proc/PID/stat: the
    /// number alone may be another process's by now.
    pub started: u64,
    /// 1 while both programs are attached. Until then each file that comes and goes is one that was
    /// never counted; none of them need be told, since every hold is looked at afterwards.
    pub counts: u64,
}

/// What the kernel itself knows about a watched inode, written when the agent opens it. The
/// agent's own file is included.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Truth {
    /// Address of the inode.
    pub inode: u64,
    /// Our count.
    pub counted: u64,
    /// `i_readcount`: files open for reading only.
    pub readers: i64,
    /// `i_writecount`: files open for writing, or negative the programs that deny it.
    pub writers: i64,
    /// `d_lockref.count` of all the inode's dentries: each file, mount and lookup holds one.
    pub references: i64,
    /// Dentries, at most [`MAX_ALIASES`].
    pub aliases: u64,
    /// `i_count`: each dentry, uprobe and set of fsnotify marks holds one.
    pub inode_references: i64,
    /// 1 where there are fsnotify marks, which let go when the inode is unlinked.
    pub marks: u64,
    /// Counts up with each telling, so that an old one is not taken for a new one.
    pub sequence: u64,
}

/// Dentries of one inode that are looked at.
pub const MAX_ALIASES: u32 = 16;

/// What can go wrong in the kernel, each counted in `LOSSES`. Every one of them is answered by
/// a resync.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The ring buffer had no room for a release.
    RingFull = 0,
    /// There was no room for a birth, neither in `TABLE` nor in `FILES`.
    Birth = 1,
}

/// Number of [`Loss`] kinds.
pub const LOSS_KINDS: u32 = 2;

/// A descriptor on the tracked superblock, mappings of one file that follow each other, or a socket with
/// files in flight.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Visit {
    /// When the process started, nanoseconds since boot: with `group` it names one for good.
    pub started: u64,
    /// The descriptor's number, or the address where the first mapping begins.
    pub value: u64,
    /// The process.
    pub group: u32,
    /// [`visit_flags`].
    pub flags: u32,
    /// Number of mappings, or of files in flight; 1 for any other descriptor. With
    /// [`visit_flags::AROUND`] the number of the inode that is in this one.
    pub times: u64,
    /// What is open or mapped; nothing for a socket.
    pub inode: InodeVisit,
}

/// An inode of the tracked superblock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct InodeVisit {
    /// Its number; 0 where there is none on the superblock.
    pub number: u64,
    /// Its hard links.
    pub links: u32,
    /// Its type and permissions, as in `st_mode`.
    pub mode: u32,
}

/// A process; or a thread that has a working directory and a root of its own. With
/// [`visit_flags::AROUND`] `program` is a removed directory, and the number in `current` or `root` that of
/// the directory in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct TaskVisit {
    /// When the process started, nanoseconds since boot.
    pub started: u64,
    /// The process's control group in the unified hierarchy: its directory's inode number.
    pub control_group: u64,
    /// The process.
    pub group: u32,
    /// [`visit_flags::THREAD`], or 0.
    pub flags: u32,
    /// The process's name, with zeros at its end.
    pub name: [u8; 16],
    /// The running program.
    pub program: InodeVisit,
    /// The working directory.
    pub current: InodeVisit,
    /// The root directory.
    pub root: InodeVisit,
    /// `s_remove_count`: the superblock's inodes without a name, in use by whomever; [`UNTOLD`] where the
    /// running program is on another superblock.
    pub nameless: i64,
}

/// [`TaskVisit::nameless`] where the process shows no way to the superblock.
pub const UNTOLD: i64 = -1;

/// Removed directories within each other that are told.
pub const MAX_AROUND: u32 = 8;

/// What a visit's flags mean.
pub mod visit_flags {
    /// The file was opened with `O_PATH`.
    pub const PATH: u32 = 1;
    /// The file is open for writing.
    pub const WRITE: u32 = 1 << 1;
    /// Seen by a thread that is not the first of its process.
    pub const THREAD: u32 = 1 << 2;
    /// A Unix socket whose queue has descriptors sent to it and not yet received, whatever they are of.
    pub const IN_FLIGHT: u32 = 1 << 3;
    /// A removed directory, kept by what is used in it.
    pub const AROUND: u32 = 1 << 4;
}
