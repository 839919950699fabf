//! `cargo xtask powercut`: a machine that loses its power at a random moment of an upgrade or of the reaps
//! after it, with what its disks had not flushed.

mod guests;
mod log;
mod replay;
mod view;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{ArgAction, ValueEnum, value_parser};
use rousr_figures::powercut::{Findings, Mark};
use serde::Serialize;

use crate::lab::kernel::Kernel;
use crate::setup::{self, Need};
use crate::{lab, say};
use guests::Guests;
use replay::{Cut, Moment, Recording};

/// Cut the power at a random moment of an upgrade or of reaps, and look at the next boot
///
/// An upgrade and the ends of its files' holders are recorded once, each write and flush of the disks. A cut
/// is a moment of that: what was flushed is there, of the rest a random part. Exits with 1 where a filesystem
/// was damaged, /usr was not sealed by itself, a hold or a line of the ledger was left, or a file of a
/// package was lost. Each cut is printed as it ends; Ctrl-C shows the sum of those that have.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..))]
    cuts: u64,

    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// The number of the first cut, to go on where another run ended
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    first: u64,

    /// What is cut short; one after the other where not given
    #[arg(long, value_enum)]
    stage: Option<Stage>,

    /// Cut after so many requests of the recording; at random where not given
    #[arg(long, value_name = "N")]
    moment: Option<Moment>,

    /// What Debian alone loses: no rousr, and hooks that remount /usr
    #[arg(long, action = ArgAction::SetTrue)]
    without_rousr: bool,

    /// Cut what was recorded last, by the same command, and record nothing
    #[arg(long, action = ArgAction::SetTrue)]
    again: bool,

    /// Print one JSON object instead of tables
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

/// What is cut short.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// The upgrade
    Upgrade,
    /// The ends of the holders, one by one
    Reap,
}

/// A cut and what came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    number: u64,
    stage: Stage,
    moment: Moment,
    /// Requests that were not flushed.
    unflushed: usize,
    /// How many of them were lost.
    requests_lost: usize,
    /// What the filesystems' check found.
    damaged: u64,
    #[serde(flatten)]
    findings: Findings,
}

impl Outcome {
    /// Whether something was not as it has to be.
    pub(crate) fn is_failed(&self) -> bool {
        let Findings {
            unsealed,
            leaked,
            lost,
            faults,
            ..
        } = &self.findings;
        !faults.is_empty() || self.damaged + unsealed + leaked + lost > 0
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::LAB)?;
    setup::ensure(Need::TOOLCHAIN)?;
    let mut outcomes = Vec::new();
    let ended = arguments.run(&mut outcomes, |outcome| {
        if !arguments.json {
            print!("{}", view::line(outcome));
        }
    });
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&outcomes)?),
        false => print!("{}", view::sum(&outcomes)),
    }
    ended?;
    Ok(match outcomes.iter().any(Outcome::is_failed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// What `cargo xtask test` runs: few cuts.
///
/// # Errors
///
/// Where a guest cannot be run.
pub(crate) fn short() -> Result<Vec<Outcome>> {
    say::line("power cuts: cargo xtask powercut --cuts 3");
    let arguments = Arguments {
        kernel: Kernel::Trixie,
        cuts: 3,
        seed: 1,
        first: 1,
        stage: None,
        moment: None,
        without_rousr: false,
        again: false,
        json: false,
    };
    let mut outcomes = Vec::new();
    let ended = arguments.run(&mut outcomes, |outcome| print!("{}", view::line(outcome)));
    print!("{}", view::sum(&outcomes));
    ended.map(|()| outcomes)
}

impl Arguments {
    fn run(&self, outcomes: &mut Vec<Outcome>, each: impl Fn(&Outcome)) -> Result<()> {
        let name = match self.without_rousr {
            true => "without-rousr",
            false => "with-rousr",
        };
        let folder = lab::workspace().join("target/powercut");
        let folder = folder.join(format!("{name}-{}", self.kernel.name()));
        let guests = Guests::build(self.kernel, !self.without_rousr, &folder)?;
        let marks = self.marks(&guests, &folder)?;
        let recording = Recording::open(&guests.before)?;
        let (requests, flushes) = recording.count();
        say::line(format!(
            "powercut: {requests} requests recorded, {flushes} flushes"
        ));
        let moment = |mark: Mark| {
            let (_, length) = marks.iter().find(|(found, _)| *found == mark)?;
            Some(recording.moment(*length))
        };
        let moment = |mark| moment(mark).context("a mark is missing in the recording");
        let (began, upgraded) = (moment(Mark::Began)?, moment(Mark::Upgraded)?);
        let reaped = moment(Mark::Reaped)?;
        for number in self.first..self.first + self.cuts {
            let stage = self.stage.unwrap_or(match number % 2 {
                1 => Stage::Upgrade,
                _ => Stage::Reap,
            });
            let within = match stage {
                Stage::Upgrade => began..=upgraded,
                Stage::Reap => upgraded..=reaped,
            };
            let mut random = fastrand::Rng::with_seed(self.seed.wrapping_mul(1 << 20) + number);
            let drawn = random.usize(within);
            let moment = self.moment.unwrap_or(drawn);
            let cut = recording.cut(&guests.before, &guests.after, moment, || random.bool())?;
            let outcome = self
                .look(&guests, number, stage, moment, cut)
                .with_context(|| format!("on with: {}", self.rest(number)))?;
            each(&outcome);
            if outcome.is_failed() {
                say::line(format!(
                    "failed; once more: {}",
                    self.command(number, moment)
                ));
            }
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// Records, or remembers what was recorded.
    fn marks(&self, guests: &Guests, folder: &Path) -> Result<guests::Marks> {
        let file = folder.join("marks");
        if self.again {
            let text = std::fs::read(&file).context("nothing is recorded: leave out --again")?;
            return Ok(serde_json::from_slice(&text)?);
        }
        let marks = guests.record(!self.without_rousr)?;
        std::fs::write(file, serde_json::to_vec(&marks)?)?;
        Ok(marks)
    }

    fn look(
        &self,
        guests: &Guests,
        number: u64,
        stage: Stage,
        moment: Moment,
        cut: Cut,
    ) -> Result<Outcome> {
        let mut findings = guests.judge(!self.without_rousr)?;
        let damages = guests::check(&guests.after)?;
        let damaged = damages.len() as u64;
        findings.faults.extend(damages);
        Ok(Outcome {
            number,
            stage,
            moment,
            unflushed: cut.unflushed,
            requests_lost: cut.lost,
            damaged,
            findings,
        })
    }

    /// The command that repeats a cut of this recording.
    fn command(&self, number: u64, moment: Moment) -> String {
        format!("{} --cuts 1 --moment {moment}", self.from(number))
    }

    /// The command that goes on with this cut.
    fn rest(&self, number: u64) -> String {
        let left = self.first + self.cuts - number;
        format!("{} --cuts {left}", self.from(number))
    }

    fn from(&self, number: u64) -> String {
        let mut command = format!(
            "cargo xtask powercut --again --kernel {} --seed {} --first {number}",
            self.kernel.name(),
            self.seed
        );
        if self.without_rousr {
            command += " --without-rousr";
        }
        if let Some(stage) = self.stage {
            command += &format!(" --stage {}", view::name(stage));
        }
        command
    }
}
