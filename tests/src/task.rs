//! What a program in a guest does for the development machine: a task, as JSON, and lines of JSON about it.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::{Serialize, de::DeserializeOwned};

/// Runs the task that is the only argument.
pub(crate) fn main<T: DeserializeOwned>(
    arguments: &[String],
    run: impl FnOnce(T) -> Result<()>,
) -> ExitCode {
    match task(arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task<T: DeserializeOwned>(arguments: &[String]) -> Result<T> {
    ensure!(arguments.len() == 1, "one argument: the task as JSON");
    serde_json::from_str(&arguments[0]).context("the task")
}

/// Tells something of it.
pub(crate) fn say(line: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

/// Runs a line of shell that has to succeed, and returns what it wrote.
pub(crate) fn must(line: &str) -> Result<String> {
    let finished = crate::shell(line);
    ensure!(
        finished.status == 0,
        "{line}: exit {}\n{}",
        finished.status,
        finished.output
    );
    Ok(finished.output)
}
