//! What comes out of a run: lines of JSON on standard output.

use std::{collections::BTreeMap, time::Duration};

use rousr_figures::{
    percentile,
    torture::{Latency, Line, Run},
};

use super::{counters::Counters, holdings::Count, judge::Findings, protocol::Report};
use crate::log;

/// How many lines tell what went wrong.
const TOLD: usize = 20;

/// A run's figures as they grow.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) run: Run,
    /// Of the premature ones, what the workers saw.
    seen: u64,
}

impl Record {
    /// One line for who watches.
    pub(super) fn summary(&self) -> String {
        let run = &self.run;
        format!(
            "{} operations, {} kills, drift {}, premature {}, missed {}, settled within {} ms",
            run.total(),
            run.kills,
            run.drift,
            run.premature,
            run.missed,
            run.settled_ms
        )
    }

    /// Takes what all workers did since the start.
    pub(super) fn workers(&mut self, reports: &[Report]) {
        self.run.operations.clear();
        let mut seen = 0;
        for report in reports {
            for (kind, count) in &report.operations {
                let operations = self.run.operations.entry(kind.name().to_owned());
                *operations.or_default() += count;
            }
            seen += report.premature.len() as u64;
            self.tell(&report.premature);
        }
        self.run.premature += seen - self.seen;
        self.seen = seen;
    }

    /// Adds what a quiet point showed.
    pub(super) fn settled(
        &mut self,
        took: Duration,
        model: &BTreeMap<u64, Count>,
        findings: &Findings,
    ) {
        self.run.quiet_points += 1;
        self.run.inodes_compared += model.len() as u64;
        self.run.files_compared += model.values().map(|count| count.regular).sum::<u64>();
        self.run.dark += findings.dark;
        self.run.drift += findings.drift;
        self.run.premature += findings.premature;
        self.run.missed += findings.missed;
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.run.settled_ms = self.run.settled_ms.max(took);
        self.tell(&findings.told);
    }

    /// Adds what the agent's metrics and log say.
    pub(super) fn agent(&mut self, counters: &Counters, log: &str) {
        self.run.reaped = log::of_reaps(log, "holds").iter().sum();
        self.run.recursion_misses = counters.total_of("rousr_tracker_losses", "recursion");
        self.run.losses = counters.total("rousr_tracker_losses");
        let releases = counters.total("rousr_tracker_releases");
        self.run.duplicates = releases.map(|releases| releases.saturating_sub(self.run.reaped));
        let mut sorted = log::of_reaps(log, "latency_us");
        sorted.sort_unstable();
        let at = |percent| percentile(&sorted, percent).unwrap_or_default();
        self.run.latency = (!sorted.is_empty()).then(|| Latency {
            count: sorted.len() as u64,
            median: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        });
        if self.run.is_failed() {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(TOLD)..];
            self.run
                .told
                .push(format!("the agent's last words:\n{}", last.join("\n")));
        }
    }

    fn tell(&mut self, lines: &[String]) {
        let room = TOLD.saturating_sub(self.run.told.len());
        self.run.told.extend(lines.iter().take(room).cloned());
    }
}

/// Says how far it is.
pub(super) fn progress(text: String) {
    line(&Line::Progress(text));
}

/// Says the end.
pub(super) fn report(run: Run) {
    line(&Line::Report(run.into()));
}

fn line(line: &Line) {
    match serde_json::to_string(line) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("cannot write a report: {error}"),
    }
}
