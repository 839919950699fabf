//! `cargo xtask fuzz`: inputs for which a parser does not do what has to hold.

mod output;
mod run;
mod view;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{ArgAction, value_parser};

use crate::say;
use crate::setup::{self, Need};
use run::{Bench, Limit};

/// Look for inputs for which a parser does not do what has to hold
///
/// Runs the fuzz targets of tests/fuzz one after the other, each from its corpus there and what earlier runs
/// added to it in target/fuzz/corpus. Exits with 1 where there is a finding, which ends the run of its target:
/// the file that has the input is named, and the command that tries it once more.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// End each target's run after as many seconds; 60 where nothing else ends it
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    seconds: Option<u64>,

    /// End each target's run after as many inputs
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    executions: Option<u64>,

    /// Only this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// Print one JSON object instead of a table
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let targets = chosen(arguments.target.as_deref())?;
    setup::ensure(Need::FUZZ)?;
    let bench = Bench::build()?;
    let limit = Limit::new(arguments.seconds, arguments.executions);
    let mut runs = Vec::new();
    for target in &targets {
        let step = say::Step::start(target, &limit.to_string());
        let run = bench.run(target, limit)?;
        step.done(&view::outcome(&run));
        runs.push(run);
    }
    match arguments.json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(&view::All { runs: &runs })?
        ),
        false => print!("{}", view::table(&runs)),
    }
    Ok(match runs.iter().any(|run| run.finding.is_some()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn chosen(target: Option<&str>) -> Result<Vec<String>> {
    let mut targets = run::targets()?;
    if let Some(chosen) = target {
        let known = targets.join(", ");
        targets.retain(|target| target == chosen);
        ensure!(
            !targets.is_empty(),
            "there is no target {chosen}; there are {known}"
        );
    }
    Ok(targets)
}
