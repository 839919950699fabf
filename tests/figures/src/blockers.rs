//! Who finds what blocks, and at what cost.

use serde::{Deserialize, Serialize};

use crate::attribution::Row;

/// Everything from one guest.
#[derive(Debug, Deserialize, Serialize)]
pub struct Report {
    /// What was planted.
    pub plants: Vec<Planted>,
    /// Inodes without a name, by the kernel's own count.
    pub counted: u64,
    /// Of them, those that rousr shows.
    pub shown: u64,
    /// Processes that fuser lists, whether they block or not.
    pub listed: usize,
    /// Processes that there are while the costs are measured.
    pub processes: usize,
    /// What was measured; the first is the bare pass, the second and third rousr.
    pub rows: Vec<Row>,
}

/// One blocker.
#[derive(Debug, Deserialize, Serialize)]
pub struct Planted {
    /// What it is.
    pub what: String,
    /// As rousr tells it: who and the way out; or what is wrong with that.
    pub told: Result<String, String>,
    /// Whether `lsof +L1` shows its process and file.
    pub lsof: bool,
    /// Whether `fuser -vm` lists its process.
    pub fuser: bool,
    /// Whether `needrestart -b -r l` names its unit or session.
    pub needrestart: bool,
}
