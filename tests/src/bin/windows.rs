//! Window after window while others try to write; `cargo xtask bench windows` runs it.
//!
//! `windows COUNT` measures and prints JSON. `windows hammer` is its other half in another mount namespace.

use std::{env, io::stdout, process::Command};

use anyhow::{Context as _, bail};
use rousr_tests::windows;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &*arguments {
        [hammer] if hammer == "hammer" => windows::serve(),
        [count] => {
            let count = count.parse().context("COUNT is a number")?;
            let mut other = Command::new(env::current_exe()?);
            other.arg("hammer");
            let report = windows::run(count, &other)?;
            serde_json::to_writer(stdout(), &report).context("cannot write the figures")
        }
        _ => bail!("usage: windows COUNT"),
    }
}
