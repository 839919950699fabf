//! `cargo xtask test`: everything that has to hold before a change lands.

mod host;
mod scenarios;

use std::{process::ExitCode, thread};

use anyhow::Result;

use crate::{
    lab::kernel::Kernel,
    say,
    setup::{self, Need},
    torture,
};
use scenarios::{Boot, Scenarios};

/// Check format and lints, run the tests on this machine, then the scenarios in guests
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only what needs no guest
    #[arg(long)]
    host: bool,

    /// Only the scenarios whose name contains this, on the default kernel
    #[arg(long, value_name = "NAME", conflicts_with = "host")]
    scenario: Option<String>,
}

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Guests that run at the same time. Scenarios hold rousr to a second from a last close to a sealed
/// /usr: a guest whose two processors are shared with another would measure that one.
fn at_once() -> usize {
    thread::available_parallelism()
        .map_or(1, |processors| processors.get() / 2)
        .max(1)
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::TOOLCHAIN)?;
    let mut tally = Tally::default();
    if arguments.scenario.is_none() {
        tally.add(host::run()?);
    }
    if !arguments.host {
        setup::ensure(Need::LAB)?;
        tally.add(guests(arguments.scenario.as_deref())?);
        if arguments.scenario.is_none() {
            tally.add(torture()?);
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Each run counts as one test.
fn torture() -> Result<Tally> {
    let mut tally = Tally::default();
    for run in torture::short()? {
        tally.passed += u64::from(!run.is_failed());
        tally.failed += u64::from(run.is_failed());
    }
    Ok(tally)
}

/// The full set on one kernel; on the others, and where the kernel preempts, what depends on them.
fn guests(filter: Option<&str>) -> Result<Tally> {
    const KERNEL_DEPENDENT: &[&str] = &["upgrade", "openers", "kinds::all", "holders"];
    let boots: Vec<Boot> = match filter {
        Some(filter) => vec![Boot::new(Kernel::Trixie, "", &[filter])],
        None => vec![
            Boot::new(Kernel::Trixie, "", &[]),
            Boot::new(Kernel::Bookworm, "", KERNEL_DEPENDENT),
            Boot::new(Kernel::Backports, "", KERNEL_DEPENDENT),
            Boot::new(Kernel::Backports, "preempt=full", KERNEL_DEPENDENT),
        ],
    };
    let scenarios = Scenarios::build()?;
    let mut tally = Tally::default();
    for batch in boots.chunks(at_once()) {
        say::line(format!(
            "scenarios on {}",
            batch
                .iter()
                .map(Boot::name)
                .collect::<Vec<_>>()
                .join(" and ")
        ));
        let results: Vec<Result<Tally>> = thread::scope(|scope| {
            let running: Vec<_> = batch
                .iter()
                .map(|boot| scope.spawn(|| scenarios.run(boot)))
                .collect();
            running
                .into_iter()
                .map(|guest| {
                    guest
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        });
        for result in results {
            tally.add(result?);
        }
    }
    Ok(tally)
}
