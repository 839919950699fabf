//! Who still uses a preserved inode: exact counts, and the news that one reached zero.
//!
//! A tracker only says when to look. Whether a hold may go is decided by the kernel's own truth
//! ([`crate::sys::lease`]).

pub mod bpf;
pub mod process;
pub mod procfs;
mod untracked;
pub mod usage;

use std::os::fd::OwnedFd;

pub use untracked::Untracked;

/// A hold's inode, kept in memory by a descriptor while it is being entered.
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
}

/// What came since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Inodes to look at, in the order of their releases.
    pub releases: Vec<Release>,
    /// The kernel side lost an event: every hold has to be looked at.
    pub lost: bool,
}

/// How well a tracker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Name of the tracker: `bpf` or `none`.
    pub tracker: &'static str,
    /// Whether the programs are attached; they are while there is something to watch.
    pub attached: bool,
    /// Number of watched inodes.
    pub watched: usize,
    /// Events lost since the start.
    pub losses: u64,
    /// Why there is no exact tracker, with what to do.
    pub missing: Option<String>,
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
    /// that tasks reach by descriptors and mappings.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses the programs or their maps; inodes entered so far stay
    /// watched.
    fn watch(&mut self, pins: &[Pin]) -> Result<(), TrackError>;

    /// Forgets an inode.
    fn unwatch(&mut self, inode: u64);

    /// Number of open files on the inode, or `None` where it is not watched.
    fn holders(&self, inode: u64) -> Option<u64>;

    /// Waits for news. Cancelling the wait loses none.
    fn news(&mut self) -> impl Future<Output = News>;

    /// State for status and metrics.
    fn health(&self) -> Health;
}
