//! The two halves of a power cut: what is written before it, and what is left after it.

mod judge;
mod record;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use rousr_figures::powercut::{Line, Task};

/// Does what the only argument, a task as JSON, asks for.
pub fn main(arguments: &[String]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() == 1, "one argument: the task as JSON");
    match serde_json::from_str(&arguments[0]).context("the task")? {
        Task::Record { with_rousr } => record::run(with_rousr),
        Task::Judge { with_rousr } => say(&Line::Findings(judge::run(with_rousr)?)),
    }
}

/// The upgrade that is cut short.
fn upgrade() -> String {
    "apt-get -y -q install libssl3t64 openssl openssl-provider-legacy \
     /run/share/rousr-demo_2.0_*.deb"
        .into()
}

fn must(line: &str) -> Result<String> {
    let finished = crate::shell(line);
    ensure!(
        finished.status == 0,
        "{line}: exit {}\n{}",
        finished.status,
        finished.output
    );
    Ok(finished.output)
}

fn say(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}
