//! What an open and a close cost.

use serde::{Deserialize, Serialize};

/// Everything measured in one guest.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Every figure, in the order measured.
    pub figures: Vec<Figure>,
}

/// What one file costs while something is attached, in instructions.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// What is attached.
    pub attached: String,
    /// Which file.
    pub file: String,
    /// An open and a close.
    pub pair: u64,
    /// The open; absent for many processes.
    pub open: Option<u64>,
    /// The close; absent for many processes.
    pub close: Option<u64>,
    /// Whether it repeated itself.
    pub settled: bool,
}

/// Attached: nothing.
pub const NOTHING: &str = "nothing";
/// Attached: programs that do nothing, on the hooks that rousr's use.
pub const FLOOR: &str = "empty programs";
/// Attached: rousr, while it watches.
pub const ROUSR: &str = "rousr";
/// Attached: rousr, while /usr is open.
pub const OPEN: &str = "rousr, /usr open";
/// Attached: rousr with nothing to watch.
pub const IDLE: &str = "rousr with nothing to watch";

/// A file of a tmpfs.
pub const TMPFS: &str = "tmpfs";
/// A file of another ext4.
pub const FOREIGN: &str = "foreign";
/// A file of /usr.
pub const UNWATCHED: &str = "unwatched";
/// Another file of /usr.
pub const NEIGHBOUR: &str = "neighbour";
/// A hold.
pub const WATCHED: &str = "watched";
/// A hold, opened by many processes at once.
pub const CROWD: &str = "crowd";
