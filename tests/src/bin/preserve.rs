//! A transaction of many files; `cargo xtask bench preserve` runs it.
//!
//! `preserve FILES OLD` measures, the 2001 algorithm with OLD of the files, and prints JSON.

use std::{env, io::stdout};

use anyhow::{Context as _, bail};
use rousr_tests::preserve;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [files, old] = &arguments[..] else {
        bail!("usage: preserve FILES OLD");
    };
    let number = |text: &String| text.parse().context("FILES and OLD are numbers");
    let report = preserve::run(number(files)?, number(old)?)?;
    serde_json::to_writer(stdout(), &report).context("cannot write the figures")
}
