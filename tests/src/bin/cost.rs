//! What an open and a close cost, by what is attached; `cargo xtask bench instructions` runs it.
//!
//! `cost FOLDER` measures everything, with the programs to compare with in FOLDER, and prints JSON.
//! `cost loop FILE N` is what it starts many times at once: see `cost::crowd`.

use std::{env, io::stdout, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use rousr_tests::cost;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        [folder] => serde_json::to_writer(stdout(), &cost::run(Path::new(folder))?)
            .context("cannot write the figures")?,
        ["loop", file, pairs] => cost::crowd::open_and_close(file, pairs.parse()?)?,
        _ => bail!("usage: cost FOLDER | cost loop FILE N"),
    }
    Ok(ExitCode::SUCCESS)
}
