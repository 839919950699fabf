//! The rules the protocol rests on, and the bounds of one exploration.

use crate::state::{INODES, Inode, Left, Work};

/// A rule that a test can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The program for deaths is attached before the one for births.
    DeathsAttachedFirst,
    /// The iterators run once both programs are attached.
    SeedAfterAttach,
    /// A new agent's programs are attached before those it finds are dropped.
    OldDroppedLast,
    /// A new agent runs the iterators again.
    SeedAfterStart,
    /// `FILES` takes each address once.
    EachFileOnce,
    /// An entry of another inode at the address of a newborn file is stale and makes room.
    StaleEntryReplaced,
    /// The death of a file whose open failed is found, though `f_inode` is gone.
    FailedOpenFound,
    /// A death takes off only what was counted.
    OnlyFoundTakenOff,
    /// The death of a file that was not counted wakes the agent.
    UncountedDeathTold,
    /// From the attach on, and not only after the look that follows.
    ToldOnceAttached,
    /// And makes a count above zero doubtful.
    UncountedDoubted,
    /// A death also tells when the kernel's own counter is zero.
    KernelZeroTold,
    /// The death of an `O_PATH` file tells when the count is zero.
    PathDeathTold,
    /// A program sends once more after it has counted a loss.
    SendAfterLoss,
    /// The agent notes the loss counters before it answers them, not after.
    LossNotedFirst,
    /// After a skip all is counted anew, and not only what differs from the kernel's number.
    AnewAfterSkip,
    /// Running hooks are waited for before `FILES` is purged.
    WaitBeforePurge,
    /// `FILES` is purged before an inode is entered.
    PurgeBeforeInsert,
    /// `FILES` is purged only while no inode is entered.
    PurgeOnlyUnwatched,
    /// Every hold is looked at after a pass of the iterators.
    LookAfterSeed,
    /// And after all was counted anew, whatever for.
    LookAfterAnew,
    /// A new agent keeps counts only where `FILES` names no inode but those that are entered.
    KeptIfWhole,
    /// Besides the lease, the dentries' references are asked.
    ReferencesAsked,
    /// No open file is taken for the explanation of a reference.
    NothingExplained,
    /// A hold that nobody is known to use and that is in use is looked at again.
    LookedAtAgain,
    /// The skips of programs are read by a timer as well.
    MissesOnTimer,
}

/// How far one exploration goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Inodes that are held.
    pub(crate) inodes: Inode,
    /// Records the ring has room for.
    pub(crate) ring: u8,
    /// The agent is killed before this step only, if there is one.
    pub(crate) killed_at: Option<Work>,
    /// How often what may happen.
    pub(crate) left: Left,
}

impl Bounds {
    /// One inode, no accidents.
    pub(crate) const CALM: Self = Self {
        inodes: 1,
        ring: 2,
        killed_at: None,
        left: Left {
            opens: 2,
            path_opens: 0,
            lookups: 0,
            failures: 0,
            sends: 0,
            full_maps: 0,
            skips: 0,
            kills: 0,
            unwatches: 0,
            watches: 0,
        },
    };
}

impl Bounds {
    pub(crate) const fn opens(mut self, times: u8) -> Self {
        self.left.opens = times;
        self
    }

    pub(crate) const fn paths(mut self, times: u8) -> Self {
        self.left.path_opens = times;
        self
    }

    pub(crate) const fn looking_up(mut self, times: u8) -> Self {
        self.left.lookups = times;
        self
    }

    pub(crate) const fn failing(mut self, times: u8) -> Self {
        self.left.failures = times;
        self
    }

    pub(crate) const fn sends(mut self, times: u8) -> Self {
        self.left.sends = times;
        self
    }

    pub(crate) const fn full_maps(mut self, times: u8) -> Self {
        self.left.full_maps = times;
        self
    }

    pub(crate) const fn skipping(mut self, times: u8) -> Self {
        self.left.skips = times;
        self
    }

    pub(crate) const fn kills(mut self, times: u8) -> Self {
        self.left.kills = times;
        self
    }

    pub(crate) const fn killed_at(mut self, work: Work) -> Self {
        self.killed_at = Some(work);
        self.kills(1)
    }

    pub(crate) const fn unwatching(mut self, times: u8) -> Self {
        self.left.unwatches = times;
        self
    }

    pub(crate) const fn ring(mut self, records: u8) -> Self {
        self.ring = records;
        self
    }

    /// The second inode's hold comes later.
    pub(crate) const fn one_by_one(mut self) -> Self {
        self.inodes = 2;
        self.left.watches = 1;
        self
    }

    pub(crate) const fn two_inodes(mut self) -> Self {
        self.inodes = 2;
        self
    }
}

/// The protocol, with or without all its rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    broken: u32,
}

impl Protocol {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, broken: 0 }
    }

    pub(crate) fn without(mut self, rule: Rule) -> Self {
        self.broken |= 1 << rule as u32;
        self
    }

    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.broken & (1 << rule as u32) == 0
    }

    pub(crate) fn inodes(&self) -> impl Iterator<Item = Inode> + use<> {
        0..self.bounds.inodes.min(INODES as Inode)
    }
}
