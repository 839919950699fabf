//! What an upgrade leaves behind, with the plain remount and with rousr.

use serde::{Deserialize, Serialize};

/// How read-only a filesystem is, by its flags in mountinfo.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Level {
    /// Writable.
    Open,
    /// Its mount is read-only.
    MountSealed,
    /// Mount and superblock are.
    Sealed,
}

/// Everything from one guest.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// One for each scenario, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What came of one scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub name: String,
    /// What happens in it.
    pub title: String,
    /// How far the kernel lets anybody seal at once.
    pub allows: Level,
    /// Why not further; empty where it is sealed.
    pub why: String,
    /// apt's exit status; none where it was killed.
    pub apt: Option<i32>,
    /// As it was right after apt.
    pub after: Look,
    /// As it was when the users were gone and had been for a while.
    pub later: Look,
}

/// What was looked at without rousr.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Look {
    /// By mountinfo.
    pub level: Level,
    /// Files in use without a name, by /proc.
    pub orphans: usize,
    /// Entries of the hold directory.
    pub holds: usize,
}
