//! What comes out of a run: lines of JSON on standard output.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    figures::{Counters, latencies, percentile},
    holdings::Count,
    judge::Findings,
    protocol::Report,
};

/// How many lines tell what went wrong.
const TOLD: usize = 20;

/// A run's figures.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Operations by the name of their kind.
    pub(super) operations: BTreeMap<&'static str, u64>,
    /// Quiet points, at which all was compared.
    pub(super) quiet_points: u64,
    /// Inodes and files compared there.
    pub(super) inodes_compared: u64,
    pub(super) files_compared: u64,
    /// Files that only the kernel's own count knew.
    pub(super) dark: u64,
    /// Inodes whose count was wrong.
    pub(super) drift: u64,
    /// Holds that went before their inode's last holder.
    pub(super) premature: u64,
    /// Holds that stayed.
    pub(super) missed: u64,
    /// Quiet points at which /usr should have been sealed and was not.
    pub(super) unsealed: u64,
    /// How often the agent was killed.
    pub(super) kills: u64,
    /// The longest that it took until all was right, milliseconds.
    pub(super) settled_ms: u64,
    /// Holds removed, by the agent's log.
    pub(super) reaped: u64,
    /// Events that the agent took and that led to no removal.
    pub(super) duplicates: Option<u64>,
    /// Events that the kernel side skipped or lost.
    pub(super) recursion_misses: Option<u64>,
    pub(super) losses: Option<u64>,
    /// Microseconds from an inode's last release to the removal of its hold.
    pub(super) latency: Option<Latency>,
    /// What went wrong, in words.
    pub(super) told: Vec<String>,
    /// Of `premature`, what the workers saw.
    #[serde(skip)]
    pub(super) premature_seen: u64,
}

/// A distribution, microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    count: usize,
    median: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Run {
    pub(super) fn total(&self) -> u64 {
        self.operations.values().sum()
    }

    pub(super) fn is_failed(&self) -> bool {
        self.drift + self.premature + self.premature_seen + self.missed + self.unsealed > 0
    }

    /// One line for who watches.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} operations, {} kills, drift {}, premature {}, missed {}, settled within {} ms",
            self.total(),
            self.kills,
            self.drift,
            self.premature + self.premature_seen,
            self.missed,
            self.settled_ms
        )
    }

    /// Takes what all workers did since the start.
    pub(super) fn workers(&mut self, reports: &[Report]) {
        self.operations.clear();
        self.premature_seen = 0;
        for report in reports {
            for (kind, count) in &report.operations {
                *self.operations.entry(kind.name()).or_default() += count;
            }
            self.premature_seen += report.premature.len() as u64;
            self.tell(&report.premature);
        }
    }

    /// Adds what a quiet point showed.
    pub(super) fn settled(
        &mut self,
        took: Duration,
        model: &BTreeMap<u64, Count>,
        findings: &Findings,
    ) {
        self.quiet_points += 1;
        self.inodes_compared += model.len() as u64;
        self.files_compared += model.values().map(|count| count.regular).sum::<u64>();
        self.dark += findings.dark;
        self.drift += findings.drift;
        self.premature += findings.premature;
        self.missed += findings.missed;
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.settled_ms = self.settled_ms.max(took);
        self.tell(&findings.told);
    }

    /// Adds what the agent's metrics and log say, and what the workers saw.
    pub(super) fn agent(&mut self, counters: &Counters, log: &str) {
        self.premature += std::mem::take(&mut self.premature_seen);
        self.reaped = log.matches(" reaped inode=").count() as u64;
        self.recursion_misses = counters.total_of("rousr_tracker_losses", "recursion");
        self.losses = counters.total("rousr_tracker_losses");
        let releases = counters.total("rousr_tracker_releases");
        self.duplicates = releases.map(|releases| releases.saturating_sub(self.reaped));
        let sorted = latencies(log);
        let at = |percent| percentile(&sorted, percent).unwrap_or_default();
        self.latency = (!sorted.is_empty()).then(|| Latency {
            count: sorted.len(),
            median: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        });
        if self.is_failed() {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(TOLD)..];
            self.told
                .push(format!("the agent's last words:\n{}", last.join("\n")));
        }
    }

    fn tell(&mut self, lines: &[String]) {
        let room = TOLD.saturating_sub(self.told.len());
        self.told.extend(lines.iter().take(room).cloned());
    }
}

/// What xtask reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Line<'a> {
    Progress(&'a str),
    Report(&'a Run),
}

/// Says how far it is.
pub(super) fn progress(text: &str) {
    line(&Line::Progress(text));
}

/// Says the end.
pub(super) fn report(run: &Run) {
    line(&Line::Report(run));
}

fn line(line: &Line<'_>) {
    match serde_json::to_string(line) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("cannot write a report: {error}"),
    }
}
