//! `cargo xtask bench preserve`: a transaction of many files.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rousr_figures::preserve::{MEMORY, PRESERVE, Report, SETTLE};
use serde_json::json;

use super::Kernels;
use super::program::{self, Measuring};
use crate::guest::Guest;
use crate::lab::layout::Layout;
use crate::say;
use crate::setup::{self, Need};

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(7200);

/// An ext4 with room for so many inodes, which the plain one has not.
const LAYOUT: Layout = Layout::Lvm;

/// Preserve and settle many files, beside the bare calls and the 2001 algorithm
///
/// In one guest, in one run, whose clock counts instructions. Exits with 1 where preserving takes more than
/// 1.3 times a loop of the same linkat calls, settling more than 1.6 times one of the unlinkat calls, where a process
/// of rousr's had 64 MiB in memory, or where a file was not held or a hold is left.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// 6.1, 6.12, 7.x or all
    #[arg(long, default_value = "6.12", value_parser = Kernels::parse)]
    kernel: Kernels,

    /// How many, at most 110000
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=110_000))]
    files: u32,

    /// How many of them for the 2001 algorithm
    #[arg(long, default_value_t = 5000)]
    old: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&[Need::Layout(LAYOUT)])?;
    let measuring = Measuring::build("preserve")?;
    let mut code = ExitCode::SUCCESS;
    let mut documents = Vec::new();
    for &kernel in &arguments.kernel.0 {
        let version = kernel.version()?.unwrap_or_default();
        say::line(format!("preserving on Linux {version}"));
        let guest = Guest {
            layout: LAYOUT,
            ..program::counting(kernel, TIMEOUT)
        };
        let guest = measuring.install(guest);
        let numbers = [arguments.files, arguments.old].map(|number| number.to_string());
        let report: Report = measuring.run_as_is(&guest, &[&numbers[0], &numbers[1]])?;
        for fault in report.faults() {
            say::line(format!("error: on Linux {version} {fault}"));
            code = ExitCode::FAILURE;
        }
        if arguments.json {
            documents.push(json!({"kernel": kernel.name(), "version": version, "report": report}));
        } else {
            println!("Linux {version}\n\n{}", markdown(&report));
        }
    }
    if arguments.json {
        println!("{:#}", json!(documents));
    }
    Ok(code)
}

fn markdown(report: &Report) -> String {
    let mut text =
        "| what | files | ms | processor ms | us a file | times the bare calls | limit |\n\
                    |---|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    let preserve = report.preserve.over(&report.bare_links);
    let settle = report.settle.over(&report.bare_unlinks);
    for (what, cost, ratio) in [
        ("bare loop of linkat", report.bare_links, None),
        ("preserve", report.preserve, Some((preserve, PRESERVE))),
        ("bare loop of unlinkat", report.bare_unlinks, None),
        ("settle, and seal", report.settle, Some((settle, SETTLE))),
        ("2001: link", report.shell_links, None),
        ("2001: fuser, unlink", report.shell_unlinks, None),
    ] {
        let ratio = ratio.map_or(" |  |".to_owned(), |(is, may)| {
            format!(" {is:.2} | {may} |")
        });
        text.push_str(&format!(
            "| {what} | {} | {:.0} | {:.0} | {:.1} |{ratio}\n",
            cost.files,
            cost.wall,
            cost.processor,
            cost.of_a_file()
        ));
    }
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    text.push_str(&format!(
        "\nIn memory at most: the agent {:.1} MiB, a hook {:.1} MiB; limit {:.0} MiB\n",
        mebibytes(report.agent_peak),
        mebibytes(report.hook_peak),
        mebibytes(MEMORY)
    ));
    text
}

#[cfg(test)]
mod tests {
    use rousr_figures::preserve::Cost;

    use super::*;

    #[test]
    fn a_report_reads_well() {
        let cost = |files, wall, processor| Cost {
            files,
            wall,
            processor,
        };
        let report = Report {
            bare_links: cost(1000, 20.0, 20.0),
            bare_unlinks: cost(1000, 10.0, 10.0),
            preserve: cost(1000, 26.0, 25.0),
            settle: cost(1000, 20.0, 15.0),
            shell_links: cost(100, 400.0, 400.0),
            shell_unlinks: cost(100, 4000.0, 4000.0),
            held: 1000,
            left: 0,
            agent_peak: 30 << 10,
            hook_peak: 5 << 10,
        };
        let table = markdown(&report);
        for part in [
            "| bare loop of linkat | 1000 | 20 | 20 | 20.0 | |  |\n",
            "| preserve | 1000 | 26 | 25 | 26.0 | 1.25 | 1.3 |\n",
            "| settle, and seal | 1000 | 20 | 15 | 20.0 | 1.50 | 1.6 |\n",
            "| 2001: fuser, unlink | 100 | 4000 | 4000 | 40000.0 | |  |\n",
            "the agent 30.0 MiB, a hook 5.0 MiB; limit 64 MiB\n",
        ] {
            assert!(table.contains(part), "{part}\n{table}");
        }
    }
}
