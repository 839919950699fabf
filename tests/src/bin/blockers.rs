//! Plants what blocks a seal and looks for it; `cargo xtask bench blockers` runs it.
//!
//! `blockers FLOOR` measures with the empty iterators in FLOOR, and prints JSON; `blockers` only looks. It starts itself as
//! `blockers hold WAY PATH NAME`.

use std::{env, io::stdout, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use rousr_tests::{blockers, hold::hold};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hold", way, path, name] => hold(way, Path::new(path), name)?,
        floor @ ([] | [_]) => {
            let report = blockers::run(floor.first().map(Path::new))?;
            serde_json::to_writer(stdout(), &report).context("cannot write the report")?;
        }
        _ => bail!("usage: blockers [FLOOR], blockers hold WAY PATH NAME"),
    }
    Ok(ExitCode::SUCCESS)
}
