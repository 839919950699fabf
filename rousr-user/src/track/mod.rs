//! Who still uses a preserved inode: exact counts, and the news that one reached zero.
//!
//! A tracker only says when to look. Whether a hold may go is decided by the kernel's own truth
//! ([`crate::sys::lease`], and [`Truth`] where a tracker knows more).

pub mod bpf;
mod container;
pub mod control_group;
pub mod fanotify;
pub mod kernel_side;
pub mod maps;
pub mod membership;
pub mod modules;
pub mod process;
pub mod procfs;
pub mod replaced;
pub mod survey;
mod truth;
mod untracked;
pub mod usage;

use std::{
    collections::BTreeMap,
    os::fd::{BorrowedFd, OwnedFd},
    path::PathBuf,
};

pub use truth::Truth;
pub use untracked::Untracked;

/// A hold's inode, kept in memory by a descriptor.
#[derive(Debug)]
pub struct Pin {
    /// Inode number, the hold's name.
    pub inode: u64,
    /// An `O_PATH` descriptor of the hold: it pins the inode without being an opener to the
    /// kernel's counters.
    pub file: OwnedFd,
}

/// An inode that lost a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Inode number.
    pub inode: u64,
    /// `CLOCK_MONOTONIC` when the file went, nanoseconds.
    pub at: u64,
    /// Who let go of it; `None` where the tracker cannot tell.
    pub by: Option<Closer>,
}

/// The task that let go of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closer {
    /// Its process.
    pub pid: u32,
    /// The task's name, ended by a zero.
    pub comm: [u8; 16],
    /// The control group's number.
    pub control_group: u64,
}

/// A file of the volume that was opened for reading while that was to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Inode number.
    pub inode: u64,
    /// Where it is as whoever opened it sees it; `None` where the kernel cannot tell.
    pub path: Option<PathBuf>,
}

/// What came since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Inodes to look at, in the order of their releases.
    pub releases: Vec<Release>,
    /// The kernel side lost an event: [`Tracker::resync`], then look at every hold.
    pub lost: bool,
    /// Something went that a pending seal may have waited for ([`Tracker::await_unblocking`]).
    pub unblocked: bool,
    /// Files that were opened ([`Tracker::await_newcomers`]).
    pub newcomers: Vec<Newcomer>,
}

/// How well a tracker does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Name of the tracker: `bpf`, `fanotify` or `none`.
    pub tracker: &'static str,
    /// By what it hears of openings and releases: `lsm`, `fentry`, `fanotify` or empty.
    pub hooks: &'static str,
    /// Whether its programs or marks are in place; they are while there is something to watch.
    pub attached: bool,
    /// Whether what the kernel counts outlives the agent.
    pub pinned: bool,
    /// Number of watched inodes.
    pub watched: usize,
    /// Releases told since the start.
    pub releases: u64,
    /// Times that the counts were compared with the kernel's since an event was lost.
    pub resyncs: u64,
    /// Inodes whose count had to be corrected.
    pub corrections: u64,
    /// Events lost, by what lost them.
    pub losses: BTreeMap<&'static str, u64>,
    /// Openings that were to be told ([`Tracker::await_newcomers`]) and were not, by what was in the way.
    pub untold: BTreeMap<&'static str, u64>,
    /// Why there is no exact tracker, with what to do.
    pub missing: Option<String>,
}

impl Health {
    /// Events lost since the maps were made.
    pub fn lost(&self) -> u64 {
        self.losses.values().sum()
    }
}

/// What is known about the users of one watched inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Inode number.
    pub inode: u64,
    /// Open files as the tracker counts them, `O_PATH` ones left out.
    pub counted: u64,
    /// The same by the kernel's own counters, without the caller's.
    pub kernel: u64,
    /// Of these, how many tasks reach by a descriptor or a mapping.
    pub visible: u64,
    /// Files opened with `O_PATH` that tasks reach by a descriptor.
    pub paths: u64,
    /// References of the kernel that none of these files explains.
    pub pins: u64,
}

impl Comparison {
    /// Open files that no task reaches, such as descriptors in flight in a socket.
    pub fn dark(&self) -> u64 {
        self.kernel.saturating_sub(self.visible)
    }

    /// Open files that the tracker does not count: born before it watched, and out of the reach of
    /// tasks then. Their release is told all the same.
    pub fn uncounted(&self) -> u64 {
        self.kernel.saturating_sub(self.counted)
    }

    /// Whether the count is right: all that tasks reach, and nothing that the kernel does not know.
    pub fn agrees(&self) -> bool {
        (self.visible..=self.kernel).contains(&self.counted)
    }
}

/// A failed request to a tracker.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct TrackError {
    /// What was tried.
    pub action: &'static str,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Counts the holders of inodes.
pub trait Tracker {
    /// Starts to watch inodes. When this returns, [`holders`](Self::holders) is exact for all
    /// that tasks reach by descriptors and mappings. The pins are kept until
    /// [`unwatch`](Self::unwatch).
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses the programs or their maps; inodes entered so far stay
    /// watched.
    fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError>;

    /// Forgets an inode and lets go of its pin. Quick: it is called while a window is open.
    fn unwatch(&mut self, inode: u64);

    /// After a step: lets go of what costs and is of no use any more.
    fn rest(&mut self) {}

    /// Number of open files on the inode, or `None` where it is not counted.
    fn holders(&self, inode: u64) -> Option<u64>;

    /// References of the kernel to the inode beside this process's own (any open file, also an
    /// `O_PATH` one, a mount, a uprobe), as it was when this process opened the inode last. `None`
    /// where nobody can tell.
    ///
    /// An inode without any is out of everybody's reach, and stays so. A file that explains a
    /// reference would not do: it can go, and an `O_PATH` file opened through it take its place
    /// before the lease is asked for.
    fn references(&self, _inode: u64) -> Option<u64> {
        None
    }

    /// While a seal is pending: asks to be told, once, when a file goes that may have been in its way:
    /// one that was open for writing, or whose inode has no name left. `volume` is a descriptor on the
    /// volume; `None` where nothing is pending any more. Ask before the seal is tried, so that nothing
    /// goes unnoticed in between.
    ///
    /// A tracker that cannot tell leaves it to the caller's timer.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses the programs or their maps.
    fn await_unblocking(&mut self, _volume: Option<BorrowedFd<'_>>) -> Result<(), TrackError> {
        Ok(())
    }

    /// While the volume is open: asks to be told of each file of it that is opened for reading, once, as far as
    /// there is room. `volume` is a descriptor on the volume; `None` where it is not open any more. What is
    /// watched is not told, nor what is opened with `O_PATH`.
    ///
    /// A tracker that cannot tell does nothing: those files are not held.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses the programs or their maps.
    fn await_newcomers(&mut self, _volume: Option<BorrowedFd<'_>>) -> Result<(), TrackError> {
        Ok(())
    }

    /// Waits for news. Cancelling the wait loses none.
    fn news(&mut self) -> impl Future<Output = News>;

    /// After a loss: brings the counts into agreement with the kernel.
    ///
    /// # Errors
    ///
    /// Fails where the kernel cannot be asked; counts may be wrong then.
    fn resync(&mut self) -> Result<(), TrackError> {
        Ok(())
    }

    /// Compares the count of each watched inode with what the kernel knows. A difference that is
    /// there at each of several looks is one.
    ///
    /// # Errors
    ///
    /// Fails where the kernel cannot be asked, and where nothing is counted.
    fn compare(&mut self) -> Result<Vec<Comparison>, TrackError> {
        Err(TrackError {
            action: "compare counts",
            source: "this tracker counts nothing; see `rousr doctor`".into(),
        })
    }

    /// What tells who uses the volume, without a look into /proc; `None` where the tracker cannot.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses the iterators.
    fn visits(&mut self) -> Result<Option<bpf::Visits>, TrackError> {
        Ok(None)
    }

    /// State for status and metrics.
    fn health(&self) -> Health;
}
