//! From a last close to the unlink of a hold; `cargo xtask bench latency` runs it.
//!
//! `latency FOLDER` measures everything, with the script to compare with in FOLDER, and prints JSON.

use std::{env, io::stdout, path::Path};

use anyhow::{Context as _, bail};
use rousr_tests::latency;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder] = &*arguments else {
        bail!("usage: latency FOLDER");
    };
    let report = latency::run(Path::new(folder))?;
    serde_json::to_writer(stdout(), &report).context("cannot write the figures")
}
