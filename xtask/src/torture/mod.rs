//! `cargo xtask torture`: holders taken and released in every way there is, against a model.

mod run;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, ValueEnum, value_parser};
use rousr_figures::torture::Run;

use crate::lab::kernel::Kernel;
use crate::say;
use crate::setup::{self, Need};
use run::{Bench, Plan};

/// Take and release holders in every way there is while a package is upgraded, against a model
///
/// Exits with 1 where a count was wrong at a quiet point, a hold went before its inode's last holder, or one
/// stayed. Each worker's sequence of operations follows from the seed; the command that repeats a
/// failed run is printed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie, conflicts_with = "everywhere")]
    kernel: Kernel,

    /// As the kernel is booted
    #[arg(long, value_enum, default_value_t = Preempt::Default, conflicts_with = "everywhere")]
    preempt: Preempt,

    /// On each kernel with each preemption, the operations shared among them
    #[arg(long)]
    everywhere: bool,

    /// End a run after as many seconds; 60 where nothing else ends it
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    seconds: Option<u64>,

    /// End after as many operations
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    operations: Option<u64>,

    /// Kill the agent with SIGKILL in as many upgrades, at most ten of them in one guest
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    kills: Option<u64>,

    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Processes that take and release
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = value_parser!(u32).range(1..=20))]
    workers: u32,

    #[arg(long, value_enum, default_value_t = Mode::Normal)]
    mode: Mode,

    /// Print one JSON object instead of tables
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

/// When the kernel preempts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preempt {
    /// As Debian boots it
    Default,
    /// Anywhere
    Full,
}

/// What makes it hard for rousr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Normal,
    /// A ring buffer that overflows
    Overflow,
    /// A kernel without BPF among its security modules
    NoLsm,
}

impl Preempt {
    const ALL: [Self; 2] = [Self::Default, Self::Full];

    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Full => "full",
        }
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Overflow => "overflow",
            Self::NoLsm => "no-lsm",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::LAB)?;
    setup::ensure(Need::TOOLCHAIN)?;
    let bench = Bench::build()?;
    let mut runs = Vec::new();
    for plan in arguments.plans() {
        say::line(format!("torture: {}", plan.command()));
        let run = bench.run(&plan)?;
        if run.is_failed() {
            say::line(format!("failed; once more: {}", plan.command()));
        }
        runs.push(run);
    }
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&runs)?),
        false => print!("{}", view::tables(&runs)),
    }
    Ok(match runs.iter().any(Run::is_failed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// What `cargo xtask test` runs: seconds on the default kernel, and some deaths of the agent where the
/// kernel preempts most, with a seed that found errors (docs/exactness.md).
///
/// # Errors
///
/// Where a guest cannot be run.
pub(crate) fn short() -> Result<Vec<Run>> {
    let plan = Plan {
        kernel: Kernel::Trixie,
        preempt: Preempt::Default,
        seconds: 15,
        operations: None,
        kills: None,
        seed: 1,
        workers: 12,
        mode: Mode::Normal,
    };
    let deaths = Plan {
        kernel: Kernel::Backports,
        preempt: Preempt::Full,
        kills: Some(3),
        seconds: 60,
        seed: 8,
        ..plan
    };
    let bench = Bench::build()?;
    let runs = [plan, deaths].map(|plan| {
        say::line(format!("torture: {}", plan.command()));
        bench.run(&plan)
    });
    let runs: Vec<Run> = runs.into_iter().collect::<Result<_>>()?;
    print!("{}", view::tables(&runs));
    Ok(runs)
}

impl Arguments {
    fn plans(&self) -> Vec<Plan> {
        let places: Vec<(Kernel, Preempt)> = match self.everywhere {
            true => Kernel::ALL
                .into_iter()
                .flat_map(|kernel| Preempt::ALL.map(|preempt| (kernel, preempt)))
                .collect(),
            false => vec![(self.kernel, self.preempt)],
        };
        let share = places.len() as u64;
        let unlimited = self.operations.is_some() || self.kills.is_some();
        let seconds = self.seconds.unwrap_or(match unlimited {
            true => u64::from(u32::MAX),
            false => 60,
        });
        let plan = |(kernel, preempt)| Plan {
            kernel,
            preempt,
            seconds,
            operations: self.operations.map(|all| all.div_ceil(share)),
            kills: self.kills.map(|all| all.div_ceil(share)),
            seed: self.seed,
            workers: self.workers,
            mode: self.mode,
        };
        places.into_iter().map(plan).flat_map(Plan::split).collect()
    }
}

/// A run as the guest reports it.
#[cfg(test)]
fn sample() -> Run {
    Run {
        seconds: 2.5,
        operations: [("dup".to_owned(), 100), ("open".to_owned(), 200)].into(),
        reaped: 40,
        latency: Some(rousr_figures::torture::Latency {
            count: 40,
            median: 900,
            p90: 2000,
            p99: 5000,
            max: 6000,
        }),
        ..Run::default()
    }
}
