//! What the conductor says to its workers, and what they answer: a line of JSON each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{holdings::Count, kind::Kind, kind::Phase};

/// A conductor's line. Each is answered, so that the last answer of all workers is a quiet point.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Open some of the installed files, which are of this generation.
    Begin {
        /// Counted from 0.
        generation: u32,
    },
    /// Do as many operations.
    Churn {
        /// What is possible now.
        phase: Phase,
        /// How many.
        operations: u64,
    },
    /// Let go of all holders of generations before this one, and of all swap areas.
    Release {
        /// The first generation that stays.
        generation: u32,
    },
    /// Tell what is held.
    Report,
}

/// A worker's answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// Done.
    Done,
    /// The answer to [`Order::Report`].
    Report(Report),
    /// The worker is at its end.
    Failed(String),
}

/// What a worker has done and holds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Operations since the start.
    pub(super) operations: BTreeMap<Kind, u64>,
    /// What is held now, by inode number.
    pub(super) counts: BTreeMap<u64, Count>,
    /// Holders whose inode had lost its hold, one line each.
    pub(super) premature: Vec<String>,
}
