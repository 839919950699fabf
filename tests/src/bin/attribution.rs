//! What it costs to tell who uses /usr, among many processes; `cargo xtask bench holders` runs it.
//!
//! `attribution FLOOR` starts a crowd, measures with the empty iterators in FLOOR, and prints JSON.

use std::{env, io::stdout, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use rousr_tests::attribution;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [floor] = &arguments[..] else {
        bail!("usage: attribution FLOOR");
    };
    let figures = attribution::run(Path::new(floor))?;
    serde_json::to_writer(stdout(), &figures).context("cannot write the figures")?;
    Ok(ExitCode::SUCCESS)
}
