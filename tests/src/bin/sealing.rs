//! Upgrades with somebody in the way; `cargo xtask bench sealing` runs it.
//!
//! `sealing plain|rousr|cut|rebooted [SCENARIO...]` prints JSON. It starts itself as `sealing hold WAY PATH NAME`.

use std::{env, io::stdout, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use rousr_tests::{
    hold::hold,
    sealing::{self, Side},
};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match &words[..] {
        ["hold", way, path, name] => {
            return hold(way, Path::new(path), name).map(|()| ExitCode::SUCCESS);
        }
        ["cut", side] => {
            sealing::cut(Side::named(side)?)?;
            println!("null");
            return Ok(ExitCode::SUCCESS);
        }
        ["rebooted", side] => sealing::rebooted(Side::named(side)?)?,
        [side, only @ ..] => sealing::run(Side::named(side)?, only)?,
        [] => bail!("usage: sealing plain|rousr [SCENARIO...], sealing cut|rebooted plain|rousr"),
    };
    serde_json::to_writer(stdout(), &report).context("cannot write the report")?;
    Ok(ExitCode::SUCCESS)
}
