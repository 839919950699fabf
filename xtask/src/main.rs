//! The project's own tasks; run as `cargo xtask <task>`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, test and demonstrate rousr")]
enum Task {}

fn main() -> anyhow::Result<()> {
    match Task::parse() {}
}
