//! Keeps a read-only `/usr` read-only across upgrades.

use std::process::ExitCode;

use clap::Parser as _;
use rousr::cli::{self, Arguments};

fn main() -> ExitCode {
    cli::run(Arguments::parse())
}
