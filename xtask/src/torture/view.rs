//! The tables of a report, in Markdown: they go into docs/exactness.md as they are.

use std::collections::BTreeMap;

use rousr_figures::torture::Run;

/// A table of the runs, one of the operations by kind, and what went wrong.
pub(super) fn tables(runs: &[Run]) -> String {
    let mut text = table(
        &[
            "kernel",
            "preempt",
            "mode",
            "seed",
            "operations",
            "a second",
            "quiet points",
            "inodes",
            "files",
            "dark",
            "drift",
            "premature",
            "missed",
            "unsealed",
            "kills",
            "reaped",
            "duplicates",
            "misses",
            "losses",
            "settled ms",
        ],
        runs.iter().map(|run| {
            vec![
                run.kernel.clone(),
                run.preempt.clone(),
                run.mode.clone(),
                run.seed.to_string(),
                run.total().to_string(),
                format!("{:.0}", run.total() as f64 / run.seconds.max(1.0)),
                run.quiet_points.to_string(),
                run.inodes_compared.to_string(),
                run.files_compared.to_string(),
                run.dark.to_string(),
                run.drift.to_string(),
                run.premature.to_string(),
                run.missed.to_string(),
                run.unsealed.to_string(),
                run.kills.to_string(),
                run.reaped.to_string(),
                optional(run.duplicates),
                optional(run.recursion_misses),
                optional(run.losses),
                run.settled_ms.to_string(),
            ]
        }),
    );
    text += &sum(runs);
    text += "\nFrom an inode's last release to the removal of its hold, milliseconds:\n\n";
    text += &table(
        &[
            "kernel", "preempt", "mode", "reaps", "median", "p90", "p99", "max",
        ],
        runs.iter().filter_map(|run| {
            let latency = run.latency?;
            let milliseconds = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
            Some(vec![
                run.kernel.clone(),
                run.preempt.clone(),
                run.mode.clone(),
                latency.count.to_string(),
                milliseconds(latency.median),
                milliseconds(latency.p90),
                milliseconds(latency.p99),
                milliseconds(latency.max),
            ])
        }),
    );
    text += "\nOperations, acquisitions and releases together:\n\n";
    text += &mix(runs);
    for run in runs.iter().filter(|run| !run.told.is_empty()) {
        text += &format!("\n{} preempt={}:\n", run.kernel, run.preempt);
        for line in &run.told {
            text += &format!("  {line}\n");
        }
    }
    text
}

/// Of all runs; one has its line.
fn sum(runs: &[Run]) -> String {
    if runs.len() < 2 {
        return String::new();
    }
    let sum = |figure: fn(&Run) -> u64| runs.iter().map(figure).sum::<u64>();
    format!(
        "\n{} operations and {} kills in {} guests: drift {}, premature {}, missed {}, unsealed {}\n",
        sum(Run::total),
        sum(|run| run.kills),
        runs.len(),
        sum(|run| run.drift),
        sum(|run| run.premature),
        sum(|run| run.missed),
        sum(|run| run.unsealed),
    )
}

fn mix(runs: &[Run]) -> String {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for run in runs {
        for (kind, count) in &run.operations {
            *kinds.entry(kind).or_default() += count;
        }
    }
    let all = kinds.values().sum::<u64>().max(1);
    table(
        &["kind", "operations", "share"],
        kinds.iter().map(|(kind, count)| {
            let share = 100.0 * *count as f64 / all as f64;
            vec![(*kind).into(), count.to_string(), format!("{share:.1} %")]
        }),
    )
}

fn optional(figure: Option<u64>) -> String {
    figure.map_or_else(|| "-".into(), |figure| figure.to_string())
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn shows_figures_shares_and_what_went_wrong() {
        let run = Run {
            kernel: "6.12.1".into(),
            told: vec!["inode 7: odd".into()],
            ..sample()
        };
        let text = tables(&[run]);
        for line in [
            "| 6.12.1 |  |  | 40 | 0.9 | 2.0 | 5.0 | 6.0 |",
            "| dup | 100 | 33.3 % |",
            "| open | 200 | 66.7 % |",
            "  inode 7: odd",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    #[test]
    fn several_runs_have_a_sum() {
        let run = Run {
            kills: 3,
            missed: 1,
            ..sample()
        };
        let text = tables(&[run, sample()]);
        let line =
            "600 operations and 3 kills in 2 guests: drift 0, premature 0, missed 1, unsealed 0";
        assert!(text.lines().any(|shown| shown == line), "{text}");
    }
}
