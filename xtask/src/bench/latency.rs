//! `cargo xtask bench latency`: from a last close to the unlink of a hold.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rousr_figures::{
    latency::{Report, Series},
    percentile,
};
use serde::Serialize;
use serde_json::json;

use super::Kernels;
use super::program::{Measuring, SHARE};
use crate::guest::Guest;
use crate::{lab, say};

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// Measure the time from a last close to the verdict and to the unlink of the hold
///
/// With /usr sealed and writable, beside the fanotify fallback and a script that polls with fuser.
/// Exits with 1 where rousr did not remove a hold within two seconds.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// 6.1, 6.12, 7.x or all
    #[arg(long, default_value = "6.12", value_parser = Kernels::parse)]
    kernel: Kernels,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A series in a few figures, in microseconds.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Row {
    by: String,
    usr: String,
    holds: usize,
    missed: usize,
    verdict: Option<Spread>,
    unlink: Option<Spread>,
}

/// Where the middle and the slow end of a series are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
struct Spread {
    median: u64,
    p99: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let measuring = Measuring::build("latency")?;
    measuring.give(&lab::recipe().join("acts/fuser.sh"), "fuser.sh")?;

    let mut missed = false;
    let mut documents = Vec::new();
    for &kernel in &arguments.kernel.0 {
        let version = kernel.version()?.unwrap_or_default();
        say::line(format!("measuring latencies on Linux {version}"));
        let guest = Guest {
            timeout: TIMEOUT,
            ..Guest::systemd(kernel)
        };
        let report: Report = measuring.run(guest, SHARE)?;
        let rows: Vec<Row> = report.series.into_iter().map(Row::from).collect();
        missed |= rows.iter().any(|row| row.missed > 0);
        if arguments.json {
            documents.push(json!({"kernel": kernel.name(), "version": version, "rows": rows}));
        } else {
            println!("Linux {version}\n\n{}", markdown(&rows));
        }
    }
    if arguments.json {
        println!("{:#}", json!(documents));
    }
    if missed {
        say::line("error: holds were not removed in time; see the column `missed`");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

impl From<Series> for Row {
    fn from(series: Series) -> Self {
        Self {
            by: series.by,
            usr: series.usr,
            holds: series.holds,
            missed: series.missed,
            verdict: Spread::of(series.verdict),
            unlink: Spread::of(series.unlink),
        }
    }
}

impl Spread {
    /// By nearest rank; nothing comes of nothing.
    fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        Some(Self {
            median: percentile(&values, 50)?,
            p99: percentile(&values, 99)?,
        })
    }
}

/// The rows as a table, in milliseconds.
fn markdown(rows: &[Row]) -> String {
    let mut table = String::from(
        "| by | /usr | holds | missed | verdict: median | p99 | unlink: median | p99 |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let [verdict, unlink] = [row.verdict, row.unlink].map(|spread| {
            let milliseconds = |value: fn(Spread) -> u64| {
                spread.map_or(String::new(), |spread| {
                    let value = value(spread);
                    format!("{}.{:02}", value / 1000, value % 1000 / 10)
                })
            };
            format!(
                "{} | {}",
                milliseconds(|spread| spread.median),
                milliseconds(|spread| spread.p99)
            )
        });
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {verdict} | {unlink} |",
            row.by, row.usr, row.holds, row.missed
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_by_nearest_rank() {
        let cases = [
            (vec![], None),
            (vec![7], Some((7, 7))),
            (vec![3, 1, 2], Some((2, 3))),
            ((1..=200).rev().collect(), Some((100, 198))),
        ];
        for (values, expected) in cases {
            let expected = expected.map(|(median, p99)| Spread { median, p99 });
            assert_eq!(Spread::of(values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn a_row_reads_well() {
        let row = |verdict: Vec<u64>| {
            Row::from(Series {
                by: "rousr".into(),
                usr: "sealed".into(),
                holds: 2,
                missed: 0,
                unlink: vec![1500, 2049],
                verdict,
            })
        };
        let table = markdown(&[row(vec![310, 320]), row(Vec::new())]);
        assert_eq!(
            table.lines().skip(2).collect::<Vec<_>>(),
            [
                "| rousr | sealed | 2 | 0 | 0.31 | 0.32 | 1.50 | 2.04 |",
                "| rousr | sealed | 2 | 0 |  |  | 1.50 | 2.04 |",
            ]
        );
    }
}
