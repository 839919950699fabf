//! `cargo xtask bench windows`: window after window while others try to write.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rousr_figures::{
    percentile,
    windows::{Attempts, Report},
};
use serde_json::json;

use super::Kernels;
use super::program::Measuring;
use crate::guest::Guest;
use crate::say;

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// Open windows while others hammer writes, and measure how long they are and what they write
///
/// Exits with 1 where a write succeeded, through /usr or in another mount namespace, or a hold stayed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// 6.1, 6.12, 7.x or all
    #[arg(long, default_value = "6.12", value_parser = Kernels::parse)]
    kernel: Kernels,

    /// How many
    #[arg(long, default_value_t = 1000)]
    windows: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let measuring = Measuring::build("windows")?;
    let mut well = true;
    let mut documents = Vec::new();
    for &kernel in &arguments.kernel.0 {
        let version = kernel.version()?.unwrap_or_default();
        say::line(format!("opening windows on Linux {version}"));
        let guest = Guest {
            timeout: TIMEOUT,
            ..Guest::systemd(kernel)
        };
        let report: Report = measuring.run(guest, &arguments.windows.to_string())?;
        well &= report.is_well();
        if arguments.json {
            documents.push(json!({"kernel": kernel.name(), "version": version, "report": report}));
        } else {
            println!("Linux {version}\n\n{}", markdown(report));
        }
    }
    if arguments.json {
        println!("{:#}", json!(documents));
    }
    if !well {
        say::line("error: something got through a window, or a hold stayed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn markdown(report: Report) -> String {
    let each = |sectors: u64, times: u64| sectors as f64 / 2.0 / times.max(1) as f64;
    let rows = [
        (
            "holds released, one after another",
            report.holds.to_string(),
        ),
        ("still there ten seconds later", report.kept.to_string()),
        ("windows", report.windows.to_string()),
        ("seen open by an onlooker", report.seen.to_string()),
        ("in which a write was refused", report.hammered.to_string()),
        ("writes through /usr", attempts(&report.here)),
        (
            "writes in another mount namespace",
            attempts(&report.elsewhere),
        ),
        ("a window lasts: median, p99", spread(report.lasted_alone)),
        ("with the writers: median, p99", spread(report.lasted)),
        (
            "a window and its unlink write",
            format!("{:.1} KiB", each(report.sectors, report.windows)),
        ),
        (
            "of which the flips themselves",
            format!("{:.1} KiB", each(report.flip_sectors, report.flips)),
        ),
    ];
    let rows = rows.map(|(what, is)| format!("| {what} | {is} |\n"));
    format!("| what | |\n|---|---|\n{}", rows.concat())
}

fn spread(mut lasted: Vec<u64>) -> String {
    lasted.sort_unstable();
    let milliseconds = |percent| {
        percentile(&lasted, percent).map_or("unknown".to_owned(), |microseconds| {
            format!("{}.{:02} ms", microseconds / 1000, microseconds % 1000 / 10)
        })
    };
    format!("{}, {}", milliseconds(50), milliseconds(99))
}

fn attempts(attempts: &Attempts) -> String {
    let mut told = format!(
        "{} refused, {} done",
        attempts.refused,
        attempts.succeeded.len()
    );
    for odd in attempts.succeeded.iter().chain(&attempts.odd) {
        told.push_str(&format!("; {odd}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well() {
        let report = Report {
            holds: 2,
            windows: 2,
            lasted: vec![2500, 1000],
            sectors: 16,
            flips: 2,
            flip_sectors: 4,
            here: Attempts {
                refused: 9,
                succeeded: Vec::new(),
                odd: vec!["mkdir: no space".into()],
            },
            ..Report::default()
        };
        let table = markdown(report);
        for part in [
            "| writes through /usr | 9 refused, 0 done; mkdir: no space |",
            "| a window lasts: median, p99 | unknown, unknown |",
            "| with the writers: median, p99 | 1.00 ms, 2.50 ms |",
            "| a window and its unlink write | 4.0 KiB |",
            "| of which the flips themselves | 1.0 KiB |",
        ] {
            assert!(table.contains(part), "{part}\n{table}");
        }
    }
}
