//! `cargo xtask test`: everything that has to hold before a change lands.

mod crashes;
mod host;
mod scenarios;

use std::{
    process::ExitCode,
    slice,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::Result;
use clap::ValueEnum as _;

use crate::{
    guest, kills,
    lab::{kernel::Kernel, layout::Layout},
    powercut, say,
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

    /// Only the scenarios of a layout, or of all; `cargo xtask vm --help` lists them
    #[arg(long, value_name = "LAYOUT|all", value_parser = layouts, conflicts_with_all = ["host", "scenario"])]
    fs: Option<Layouts>,

    /// The kernel for --scenario and --fs
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,
}

/// Those of which the scenarios are to run.
#[derive(Clone, Debug)]
struct Layouts(Vec<Layout>);

fn layouts(name: &str) -> Result<Layouts, String> {
    match name {
        "all" => Ok(Layouts(Layout::WITH_SCENARIOS.into())),
        name => Layout::from_str(name, false).map(|layout| Layouts(vec![layout])),
    }
}

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Each of these counts as one test.
    fn of<T>(tests: &[T], is_failed: impl Fn(&T) -> bool) -> Self {
        let failed = tests.iter().filter(|test| is_failed(test)).count() as u64;
        Self {
            passed: tests.len() as u64 - failed,
            failed,
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Guests that run at the same time. Each has two processors, and keeps little more than one busy; and each has
/// its memory.
fn at_once() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    processors.min(guest::fit_in_memory()).max(1)
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::TOOLCHAIN)?;
    let mut tally = Tally::default();
    let is_part = arguments.scenario.is_some() || arguments.fs.is_some();
    if !is_part {
        tally.add(host::run()?);
    }
    if !arguments.host {
        setup::ensure(Need::LAB)?;
        tally.add(guests(&boots(arguments))?);
        if !is_part {
            tally.add(Tally::of(&torture::short()?, |run| run.is_failed()));
            tally.add(deaths()?);
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A few kills, and a few power cuts at the same time.
fn deaths() -> Result<Tally> {
    thread::scope(|scope| {
        let cuts = scope.spawn(powercut::short);
        let kills = kills::short();
        let cuts = cuts
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut tally = Tally::of(&kills?, |kill| kill.is_failed());
        tally.add(Tally::of(&cuts?, |cut| cut.is_failed()));
        Ok(tally)
    })
}

/// The full set on one kernel; on the others, and where the kernel preempts, what depends on them; and on
/// some layouts, one of each kind, the story of that.
fn boots(arguments: &Arguments) -> Vec<Boot> {
    // Attaching and detaching the programs is what an emulated CPU survives a limited number of times: several
    // guests, so that little begins anew for that.
    const KERNEL_DEPENDENT: &[&[&str]] = &[
        &["upgrade::root::", "openers::root::"],
        &["kinds::all::root::"],
        &["holders::root::"],
        &["removal::root::", "renewal::root::after_an_upgrade"],
    ];
    const APART: [&[&str]; 2] = [
        &["renewal::root::", "sealing::root::", "windows::root::"],
        &[
            "abuse::root::",
            "dpkg::root::",
            "frontends::root::",
            "hooks::root::",
            "transactions::root::",
        ],
    ];
    const LAYOUTS: [Layout; 4] = [
        Layout::Xfs,
        Layout::Subvolume,
        Layout::Root,
        Layout::Squashfs,
    ];
    let Arguments { kernel, .. } = *arguments;
    let of_layouts = |layouts: &[Layout]| {
        let boots = layouts.iter();
        boots
            .map(|&layout| Boot::of_layout(layout, kernel))
            .collect::<Vec<_>>()
    };
    if let Some(Layouts(layouts)) = &arguments.fs {
        return of_layouts(layouts);
    }
    if let Some(filter) = &arguments.scenario {
        let crashes = crashes::matching(filter, kernel);
        return match crashes.is_empty() {
            true => vec![Boot::new(kernel, "", &[filter])],
            false => crashes,
        };
    }
    let mut boots = vec![Boot::all_but(Kernel::Trixie, &APART.concat())];
    boots.extend(APART.map(|set| Boot::new(Kernel::Trixie, "", set)));
    for (kernel, append, sets) in [
        (Kernel::Bookworm, "", KERNEL_DEPENDENT),
        (Kernel::Backports, "", KERNEL_DEPENDENT),
        // Preemption is in the way of counting.
        (Kernel::Backports, "preempt=full", &KERNEL_DEPENDENT[..2]),
    ] {
        boots.extend(sets.iter().map(|set| Boot::new(kernel, append, set)));
    }
    boots.extend(of_layouts(&LAYOUTS));
    boots.extend(crashes::matching("", Kernel::Trixie));
    boots
}

fn guests(boots: &[Boot]) -> Result<Tally> {
    for boot in boots {
        setup::ensure(&[boot.need()])?;
    }
    let scenarios = Scenarios::build()?;
    let queue = Mutex::new(boots.iter());
    let work = || -> Result<Tally> {
        let mut tally = Tally::default();
        while let Some(boot) = next(&queue) {
            say::line(format!("scenarios on {}", boot.name()));
            // Where one cannot be run the others are not begun.
            let run = scenarios.run(boot);
            tally.add(run.inspect_err(|_| while next(&queue).is_some() {})?);
        }
        Ok(tally)
    };
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once()).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let worked = worker.join();
            tally.add(worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(tally)
    })
}

/// The next that no worker has taken.
fn next<'b>(queue: &Mutex<slice::Iter<'b, Boot>>) -> Option<&'b Boot> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}
