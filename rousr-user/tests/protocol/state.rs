//! One moment of the machine: kernel, maps, CPUs and agent.

/// Addresses that files are allocated at; a freed one is used again.
pub(crate) const SLOTS: usize = 2;
/// Inodes there are; the bounds say how many of them are used.
pub(crate) const INODES: usize = 2;
/// Two tasks, each on its CPU, and the agent's own context.
pub(crate) const CPUS: usize = 3;
/// The agent's context: there the files die whose last reference an iterator held.
pub(crate) const AGENT: usize = 2;

pub(crate) type Slot = u8;
pub(crate) type Inode = u8;

/// One moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The inode has its public name still, and no hold.
    pub(crate) named: [bool; INODES],
    /// Memory for files.
    pub(crate) files: [File; SLOTS],
    /// `i_readcount` of each inode.
    pub(crate) readers: [u8; INODES],
    /// The map `WATCHED`.
    pub(crate) watched: [Option<i8>; INODES],
    /// The map `FILES`.
    pub(crate) entries: [Option<Inode>; SLOTS],
    /// Records in the ring buffer.
    pub(crate) records: u8,
    /// What the records say.
    pub(crate) news: [News; INODES],
    /// `LOSSES`, all kinds.
    pub(crate) losses: u8,
    /// `recursion_misses`, all programs.
    pub(crate) misses: u8,
    /// Attached programs for births: a bit for each generation of the agent.
    pub(crate) births: u8,
    /// Attached programs for deaths.
    pub(crate) deaths: u8,
    /// The map `AGENT`: whether both programs are attached.
    pub(crate) counts: bool,
    pub(crate) cpus: [Cpu; CPUS],
    pub(crate) agent: Agent,
    /// Holds that are gone.
    pub(crate) reaped: [bool; INODES],
    /// What may still happen.
    pub(crate) left: Left,
    pub(crate) fault: Option<Fault>,
}

/// Memory of one `struct file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct File {
    pub(crate) live: bool,
    pub(crate) inode: Inode,
    /// Opened with `O_PATH`.
    pub(crate) path: bool,
    /// In a task's table, where the iterators find it.
    pub(crate) table: bool,
    /// In flight in a socket: alive and out of reach.
    pub(crate) flight: bool,
    /// An iterator holds a reference.
    pub(crate) held: bool,
    /// It holds its inode no more; only its memory is left.
    pub(crate) gone: bool,
    /// The open failed, and `f_inode` is empty.
    pub(crate) cleared: bool,
    /// Was open already, and out of the iterators' reach when they came by.
    pub(crate) dark: bool,
}

/// What a record says of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum News {
    #[default]
    Nothing,
    /// The count came to zero.
    Counted,
    /// An uncounted file went, or the kernel's own counter is zero: a count above is doubtful.
    Doubtful,
}

/// What a CPU is in the middle of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cpu {
    pub(crate) at: Place,
    /// The programs of the hook that are left to run, the current one included.
    pub(crate) queue: u8,
    /// A waiting `synchronize_rcu` began while this hook was running.
    pub(crate) awaited: bool,
}

/// A place in the kernel's code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    #[default]
    User,
    /// `do_dentry_open` is next; the dentry is referenced.
    Found {
        inode: Inode,
        path: bool,
    },
    /// The kernel's counter is up, the hook is next.
    Raised(Slot),
    Birth(Slot, Birth),
    /// The hook is over; the open may still fail.
    Opened(Slot),
    /// The last reference is gone, the kernel's counter is next.
    Last(Slot),
    /// The counter is down, the hook is next.
    Lowered(Slot),
    Death(Slot, Death),
}

/// A place in the program on `file_open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Birth {
    Check,
    Insert(Pointer),
    Add(Pointer),
    /// Wakes the agent, as a loss was counted.
    Wake,
}

/// A place in the program on `file_free_security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Death {
    Check,
    Remove(Pointer),
    /// The file was not entered.
    Uncounted(Inode),
    Subtract(Pointer),
    Send(Inode, News),
    Lose,
    /// Wakes the agent, as a loss was counted.
    Wake,
}

/// A pointer to a value of `WATCHED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pointer {
    pub(crate) inode: Inode,
    pub(crate) memory: Memory,
}

/// What a [`Pointer`] points to by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Memory {
    Value,
    /// The element was deleted.
    Deleted,
    /// And elements were inserted since, which may have taken its memory.
    Reused,
}

/// The agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Agent {
    pub(crate) at: Work,
    /// 0, and 1 once it was killed and started anew.
    pub(crate) generation: u8,
    /// What the present pass over the holds is for.
    pub(crate) stage: Stage,
    /// Inodes that are to be entered with a count of zero.
    pub(crate) anew: [bool; INODES],
    /// An inode was left with files that are counted.
    pub(crate) littered: bool,
    /// Inodes whose count is to be compared with the kernel's.
    pub(crate) unsure: [bool; INODES],
    /// Others' references to the inode that is probed.
    pub(crate) references: u8,
    /// Inodes to look at.
    pub(crate) todo: [bool; INODES],
    /// Holds that were in use though nobody was counted: to be looked at again.
    pub(crate) armed: [bool; INODES],
    pub(crate) losses_seen: u8,
    pub(crate) misses_seen: u8,
}

/// What a pass over the holds is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Records came: the inodes they name.
    Records,
    /// A start, a new hold or a loss: all of them.
    All,
}

/// The agent's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// dpkg takes the public names.
    Replace,
    /// A new agent waits for programs that run before it believes what it finds.
    BeginStart,
    EndStart,
    Delete(Inode),
    BeginWait,
    EndWait,
    PurgeRead(Slot),
    PurgeDelete(Slot),
    Insert(Inode),
    AttachDeaths,
    PinDeaths,
    AttachBirths,
    PinBirths,
    /// Tells the programs that both are attached.
    Announce,
    Visit(Slot),
    Leave(Slot),
    Compare(Inode),
    Compared(Inode),
    ReadLosses,
    Look(Inode),
    Explain(Inode),
    Lease(Inode),
    /// The inode is in use.
    Refused(Inode),
    /// It is not.
    Granted(Inode),
    Unlink(Inode),
    /// Tells the programs that they are about to be detached.
    Withdraw,
    DetachBirths,
    DetachDeaths,
    Wait,
    Dead,
    Done,
}

/// How often each of these may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) opens: u8,
    pub(crate) path_opens: u8,
    /// Paths that are found and not opened: no file, hence no hook.
    pub(crate) lookups: u8,
    /// Opens that fail once the kernel's counter is up.
    pub(crate) failures: u8,
    pub(crate) sends: u8,
    pub(crate) full_maps: u8,
    pub(crate) skips: u8,
    pub(crate) kills: u8,
    pub(crate) unwatches: u8,
    /// The second inode gets its hold when the first has been watched.
    pub(crate) watches: u8,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A hold went while its inode was in use.
    Premature,
    /// A count went below zero.
    BelowZero,
}

impl Place {
    /// One of our programs runs.
    pub(crate) fn is_in_hook(self) -> bool {
        matches!(self, Self::Birth(..) | Self::Death(..))
    }
}

impl State {
    pub(crate) fn file(&self, slot: Slot) -> &File {
        &self.files[usize::from(slot)]
    }

    pub(crate) fn file_mut(&mut self, slot: Slot) -> &mut File {
        &mut self.files[usize::from(slot)]
    }

    /// The value of `WATCHED`, by pointer.
    pub(crate) fn pointer(&self, inode: Inode) -> Option<Pointer> {
        self.watched[usize::from(inode)].map(|_| Pointer {
            inode,
            memory: Memory::Value,
        })
    }
}
