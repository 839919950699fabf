//! What guests around a power cut tell.

use serde::{Deserialize, Serialize};

/// What the program in a guest is to do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// An upgrade, then the end of each holder, with marks in between.
    Record {
        /// Whether rousr is installed; else hooks that remount /usr.
        with_rousr: bool,
    },
    /// A look at what is left, at a boot after the cut.
    Judge {
        /// As it was recorded.
        with_rousr: bool,
    },
}

/// A moment of the recording.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The upgrade is about to begin.
    Began,
    /// It is over, and what it wrote late is written.
    Upgraded,
    /// All holds are gone.
    Reaped,
}

/// What was found after a cut.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// dpkg was interrupted, and an administrator had it go on.
    pub interrupted: bool,
    /// /usr was not sealed.
    pub unsealed: u64,
    /// Holds, lines of the ledger without one, strays.
    pub leaked: u64,
    /// Files that are not as dpkg installed them.
    pub lost: u64,
    /// What was found wrong.
    pub faults: Vec<String>,
}

/// A line that the program in a guest writes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// A moment has come.
    Mark(Mark),
    /// The look is over.
    Findings(Findings),
}
