//! `cargo xtask bench`: what rousr costs and how quick it is, measured in guests.

mod blockers;
mod holders;
mod instructions;
mod latency;
mod preserve;
mod program;
mod sealing;
mod table;
mod windows;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum as _;

use crate::lab::kernel::Kernel;

/// Measure what rousr costs and how quick it is, beside what else there is
///
/// docs/benchmarks.md says how to read the figures.
#[derive(clap::Subcommand)]
pub(crate) enum Benchmark {
    Instructions(instructions::Arguments),
    Latency(latency::Arguments),
    Holders(holders::Arguments),
    Windows(windows::Arguments),
    Blockers(blockers::Arguments),
    Sealing(sealing::Arguments),
    Preserve(preserve::Arguments),
}

pub(crate) fn run(benchmark: &Benchmark) -> Result<ExitCode> {
    match benchmark {
        Benchmark::Instructions(arguments) => instructions::run(arguments),
        Benchmark::Latency(arguments) => latency::run(arguments),
        Benchmark::Holders(arguments) => holders::run(arguments),
        Benchmark::Windows(arguments) => windows::run(arguments),
        Benchmark::Blockers(arguments) => blockers::run(arguments),
        Benchmark::Sealing(arguments) => sealing::run(arguments),
        Benchmark::Preserve(arguments) => preserve::run(arguments),
    }
}

/// The kernels to measure on.
#[derive(Clone, Debug)]
struct Kernels(Vec<Kernel>);

impl Kernels {
    /// Reads `all`, or the name of one.
    fn parse(name: &str) -> Result<Self, String> {
        if name == "all" {
            return Ok(Self(Kernel::ALL.to_vec()));
        }
        Ok(Self(vec![Kernel::from_str(name, false)?]))
    }
}
