//! The torture test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run does. The sequence of each worker's operations follows from `seed`, `workers`, `files`,
/// `operations_a_round` and the worker's number; the rest says where it is cut off.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Where the sequences begin.
    pub seed: u64,
    /// Processes that take and release.
    pub workers: usize,
    /// Files of the package.
    pub files: usize,
    /// Each worker's, between the opening of a generation and the letting go of the one before.
    pub operations_a_round: u64,
    /// The run ends after the round in which it is over.
    pub seconds: u64,
    /// Or in which as many are done.
    pub operations: Option<u64>,
    /// Or in which the agent has died as often: once in each upgrade.
    pub kills: Option<u64>,
    /// How the agent is started.
    pub ring: Ring,
}

/// The agent's ring buffer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ring {
    /// As its unit says.
    Normal,
    /// So small that it overflows.
    Small,
}

/// A line of the program's output.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// How far it is, in words.
    Progress(String),
    /// The end.
    Report(Box<Run>),
}

/// A run's figures; the guest does not know the first four.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The kernel's version.
    #[serde(default)]
    pub kernel: String,
    /// When the kernel preempts itself.
    #[serde(default)]
    pub preempt: String,
    /// What makes it hard for rousr.
    #[serde(default)]
    pub mode: String,
    /// Where the sequences began.
    #[serde(default)]
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Operations by the name of their kind.
    pub operations: BTreeMap<String, u64>,
    /// Quiet points, at which all was compared.
    pub quiet_points: u64,
    /// Inodes compared there.
    pub inodes_compared: u64,
    /// Files compared there.
    pub files_compared: u64,
    /// Files that only the kernel's own count knew.
    pub dark: u64,
    /// Inodes whose count was wrong.
    pub drift: u64,
    /// Holds that went before their inode's last holder.
    pub premature: u64,
    /// Holds that stayed.
    pub missed: u64,
    /// Quiet points at which /usr should have been sealed and was not.
    pub unsealed: u64,
    /// How often the agent was killed.
    pub kills: u64,
    /// The longest that it took until all was right, milliseconds.
    pub settled_ms: u64,
    /// Holds removed, by the agent's log.
    pub reaped: u64,
    /// Events that the agent took and that led to no removal.
    pub duplicates: Option<u64>,
    /// Events that the kernel side skipped.
    pub recursion_misses: Option<u64>,
    /// Events that it skipped or lost.
    pub losses: Option<u64>,
    /// From an inode's last release to the removal of its hold.
    pub latency: Option<Latency>,
    /// What went wrong, in words.
    pub told: Vec<String>,
}

/// A distribution, microseconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Of how many.
    pub count: u64,
    /// The middle one.
    pub median: u64,
    /// What 90 of 100 do not exceed.
    pub p90: u64,
    /// What 99 of 100 do not exceed.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Run {
    /// All operations.
    pub fn total(&self) -> u64 {
        self.operations.values().sum()
    }

    /// Whether anything was wrong.
    pub fn is_failed(&self) -> bool {
        self.drift + self.premature + self.missed + self.unsealed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_fails_a_run() {
        let good = Run {
            dark: 3,
            kills: 1,
            ..Run::default()
        };
        assert!(!good.is_failed());
        let spoil: [fn(&mut Run); 4] = [
            |run| run.drift = 1,
            |run| run.premature = 1,
            |run| run.missed = 1,
            |run| run.unsealed = 1,
        ];
        for spoil in spoil {
            let mut run = good.clone();
            spoil(&mut run);
            assert!(run.is_failed(), "{run:?}");
        }
    }
}
