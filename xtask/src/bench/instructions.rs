//! `cargo xtask bench instructions`: what an open and a close cost.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rousr_figures::cost::Report;
use serde_json::json;

use super::Kernels;
use super::program::{self, FLOOR, Measuring, SHARE};
use super::table::Row;
use crate::lab::tools;
use crate::say;
use crate::setup::{self, Need};

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Count the instructions of an open and a close, by what is attached
///
/// In a guest whose clock counts them, so that the figures repeat. Exits with 1 where rousr costs
/// more than it may.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// 6.1, 6.12, 7.x or all
    #[arg(long, default_value = "all", value_parser = Kernels::parse)]
    kernel: Kernels,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let measuring = Measuring::build("cost")?;
    setup::ensure(&[Need::Tools])?;
    measuring.give(&program::floor()?, FLOOR)?;
    for tool in tools::TOOLS {
        measuring.give(&tools::folder()?.join(tool), tool)?;
    }

    let mut exceeded = false;
    let mut documents = Vec::new();
    for &kernel in &arguments.kernel.0 {
        let version = kernel.version()?.unwrap_or_default();
        say::line(format!("counting instructions on Linux {version}"));
        let report: Report = measuring.run(program::counting(kernel, TIMEOUT), SHARE)?;
        let rows = Row::all(&report.figures);
        exceeded |= rows.iter().any(Row::is_exceeded);
        if arguments.json {
            documents.push(json!({"kernel": kernel.name(), "version": version, "rows": rows}));
        } else {
            println!("Linux {version}\n\n{}", super::table::markdown(&rows));
        }
    }
    if arguments.json {
        println!("{:#}", json!(documents));
    }
    if exceeded {
        say::line("error: rousr costs more than it may; see the rows marked with !");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
