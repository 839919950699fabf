//! What it costs to tell who uses /usr.

use serde::{Deserialize, Serialize};

/// The figures of one guest, times in milliseconds.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Processes that rousr found.
    pub processes: usize,
    /// Their mappings of files of /usr.
    pub mappings: u64,
    /// Their descriptors of files of /usr.
    pub descriptors: usize,
    /// Length of the JSON.
    pub bytes: usize,
    /// What was measured; the first is the bare pass, the second rousr.
    pub rows: Vec<Row>,
}

/// One way to tell it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Row {
    /// What ran.
    pub name: String,
    /// Wall time of the middle run.
    pub wall: f64,
    /// Processor time of the middle run, the agent's among it.
    pub processor: f64,
    /// The fastest and the slowest run's wall time.
    pub range: [f64; 2],
}
