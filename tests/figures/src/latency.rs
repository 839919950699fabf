//! From a last close to the unlink of a hold.

use serde::{Deserialize, Serialize};

/// Everything measured in one guest.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// One for each tool and state of /usr.
    pub series: Vec<Series>,
}

/// Last closes of holds, one after another.
#[derive(Debug, Deserialize, Serialize)]
pub struct Series {
    /// What removes the holds.
    pub by: String,
    /// `sealed` or `writable`.
    pub usr: String,
    /// Holds that were there at the beginning.
    pub holds: usize,
    /// Holds that were not removed in time.
    pub missed: usize,
    /// From just before the close to the news of the unlink, microseconds, as the program sees it.
    pub unlink: Vec<u64>,
    /// From the death of the file to the agent's verdict, microseconds, as the agent logs it.
    pub verdict: Vec<u64>,
}
