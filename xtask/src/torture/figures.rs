//! What the program in the guest reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One of its lines.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line {
    Progress(String),
    Report(Box<Run>),
}

/// A run's figures; the guest does not know the first four.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    #[serde(default)]
    pub(super) kernel: String,
    #[serde(default)]
    pub(super) preempt: String,
    #[serde(default)]
    pub(super) mode: String,
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) operations: BTreeMap<String, u64>,
    pub(super) quiet_points: u64,
    pub(super) inodes_compared: u64,
    pub(super) files_compared: u64,
    pub(super) dark: u64,
    pub(super) drift: u64,
    pub(super) premature: u64,
    pub(super) missed: u64,
    pub(super) unsealed: u64,
    pub(super) kills: u64,
    pub(super) settled_ms: u64,
    pub(super) reaped: u64,
    pub(super) duplicates: Option<u64>,
    pub(super) recursion_misses: Option<u64>,
    pub(super) losses: Option<u64>,
    pub(super) latency: Option<Latency>,
    pub(super) told: Vec<String>,
}

/// From an inode's last release to the removal of its hold, microseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) median: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl Run {
    pub(super) fn total(&self) -> u64 {
        self.operations.values().sum()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.drift + self.premature + self.missed + self.unsealed > 0
    }
}

#[cfg(test)]
pub(super) const SAMPLE: &str = concat!(
    r#"{"seconds":2.5,"operations":{"dup":100,"open":200},"quietPoints":4,"#,
    r#""inodesCompared":50,"filesCompared":90,"dark":3,"drift":0,"premature":0,"missed":0,"#,
    r#""unsealed":0,"kills":1,"settledMs":120,"reaped":40,"duplicates":7,"recursionMisses":null,"#,
    r#""losses":0,"latency":{"count":40,"median":900,"p90":2000,"p99":5000,"max":6000},"told":[]}"#
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_report() {
        let run: Run = serde_json::from_str(SAMPLE).expect("parses");
        assert_eq!(run.total(), 300);
        assert_eq!(run.recursion_misses, None);
        assert_eq!(run.latency.map(|latency| latency.p99), Some(5000));
    }

    #[test]
    fn each_kind_of_error_fails_a_run() {
        let good: Run = serde_json::from_str(SAMPLE).expect("parses");
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
