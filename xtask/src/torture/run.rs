//! One run in one guest.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rousr_figures::torture::{Line, Options, Ring, Run};

use super::{Mode, Preempt};
use crate::guest::{Ending, Guest};
use crate::install::{self, Installed};
use crate::lab::kernel::Kernel;
use crate::lines::Lines;
use crate::{cargo, lab, say};

/// How much happens between two upgrades. The sequence of operations depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// Files of the package.
    files: usize,
    /// Operations of each worker.
    operations: u64,
}

impl Pace {
    const LONG: Self = Self {
        files: 2500,
        operations: 24_000,
    };
    /// Several upgrades in seconds.
    const SHORT: Self = Self {
        files: 2000,
        operations: 3000,
    };
    /// Each upgrade is there for one death of the agent.
    const DEATHS: Self = Self {
        files: 500,
        operations: 800,
    };
    /// The longest run that is short, seconds.
    const SHORTEST: u64 = 60;
}

/// Debian's security modules without BPF.
const WITHOUT_BPF: &str = "lsm=lockdown,capability,landlock,yama,apparmor";

/// What a guest does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kernel: Kernel,
    pub(super) preempt: Preempt,
    pub(super) seconds: u64,
    pub(super) operations: Option<u64>,
    pub(super) kills: Option<u64>,
    pub(super) seed: u64,
    pub(super) workers: u32,
    pub(super) mode: Mode,
}

impl Plan {
    /// The command that repeats it.
    pub(super) fn command(&self) -> String {
        let mut command = format!(
            "cargo xtask torture --kernel {} --preempt {} --mode {} --seed {} --workers {}",
            self.kernel.name(),
            self.preempt.name(),
            self.mode.name(),
            self.seed,
            self.workers
        );
        if self.seconds < u64::from(u32::MAX) {
            command += &format!(" --seconds {}", self.seconds);
        }
        if let Some(operations) = self.operations {
            command += &format!(" --operations {operations}");
        }
        if let Some(kills) = self.kills {
            command += &format!(" --kills {kills}");
        }
        command
    }

    /// The deaths in guests of their own, with seeds that follow each other. Each attaches and detaches,
    /// and an emulated CPU survives a limited number of those (docs/lab.md): a guest that has to be
    /// begun anew has to have an end in reach.
    pub(super) fn split(self) -> Vec<Self> {
        const MOST: u64 = 10;
        let Some(kills) = self.kills else {
            return vec![self];
        };
        (0..kills.div_ceil(MOST))
            .map(|guest| Self {
                kills: Some(MOST.min(kills - guest * MOST)),
                seed: self.seed + guest,
                ..self
            })
            .collect()
    }

    fn pace(&self) -> Pace {
        match self.kills {
            Some(_) => Pace::DEATHS,
            None if self.seconds <= Pace::SHORTEST => Pace::SHORT,
            None => Pace::LONG,
        }
    }

    /// What the program in the guest takes.
    fn options(&self) -> Options {
        let Pace { files, operations } = self.pace();
        Options {
            seed: self.seed,
            workers: self.workers as usize,
            files,
            operations_a_round: operations,
            seconds: self.seconds,
            operations: self.operations,
            kills: self.kills,
            ring: match self.mode {
                Mode::Overflow => Ring::Small,
                Mode::Normal | Mode::NoLsm => Ring::Normal,
            },
        }
    }

    fn append(&self) -> String {
        let preempt = match self.preempt {
            Preempt::Default => "",
            Preempt::Full => "preempt=full ",
        };
        let modules = match self.mode {
            Mode::NoLsm => WITHOUT_BPF,
            Mode::Normal | Mode::Overflow => "",
        };
        format!("{preempt}{modules}")
    }
}

/// What every guest gets.
pub(super) struct Bench {
    share: PathBuf,
    installed: Vec<Installed>,
}

impl Bench {
    pub(super) fn build() -> Result<Self> {
        let installed = install::build(true)?;
        let share = lab::workspace().join("target/torture");
        fs::create_dir_all(&share).with_context(|| format!("cannot make {}", share.display()))?;
        cargo::strip(&cargo::guest_program("torture")?, &share.join("torture"))?;
        Ok(Self { share, installed })
    }

    /// Runs a guest to its end, and says how far it is.
    pub(super) fn run(&self, plan: &Plan) -> Result<Run> {
        /// More than a run takes that is not cut off by time.
        const LONGEST: Duration = Duration::from_secs(3600);
        /// Boot, preparation and the last round.
        const AROUND: Duration = Duration::from_secs(180);
        let guest = Guest {
            append: plan.append(),
            timeout: LONGEST.min(Duration::from_secs(plan.seconds) + AROUND),
            installed: self.installed.clone(),
            share: Some(self.share.clone()),
            ..Guest::systemd(plan.kernel)
        };
        let options = serde_json::to_string(&plan.options())?;
        let command: [OsString; 2] = ["/run/share/torture".into(), options.into()];
        // By an emulator's fault it begins anew: what is left is one whole run.
        let said = RefCell::new(Said::default());
        let anew = || {
            said.take();
            Lines::new(|line| said.borrow_mut().take(line))
        };
        let (ending, _) = guest.run_whole(&command, anew)?;
        let Said { run, other } = said.take();
        let why = match (ending, run) {
            (Ending::Exited(_), Some(run)) => {
                return Ok(Run {
                    kernel: plan.kernel.version()?.unwrap_or_default(),
                    preempt: plan.preempt.name().into(),
                    mode: plan.mode.name().into(),
                    seed: plan.seed,
                    ..run
                });
            }
            (Ending::Exited(status), None) => format!("ended with status {status}"),
            (Ending::TimedOut, _) => format!("not done within {} s", guest.timeout.as_secs()),
            (Ending::Interrupted, _) => "interrupted".into(),
            (Ending::EmulatorFault(fault), _) => fault.to_string(),
        };
        bail!("{why}\n{other}once more: {}", plan.command())
    }
}

/// What the program said.
#[derive(Debug, Default)]
struct Said {
    run: Option<Run>,
    /// What is no line of ours.
    other: String,
}

impl Said {
    fn take(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Line::Progress(text)) => say::line(format!("torture: {text}")),
            Ok(Line::Report(run)) => self.run = Some(*run),
            Err(_) => {
                let line = String::from_utf8_lossy(line);
                say::line(&line);
                self.other += &line;
                self.other.push('\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn keeps_the_report_and_what_is_not_ours() {
        let line = |line| serde_json::to_vec(&line).expect("JSON");
        let mut said = Said::default();
        said.take(&line(Line::Progress("round 1".into())));
        said.take(b"warning: odd");
        said.take(&line(Line::Report(sample().into())));
        assert_eq!(said.other, "warning: odd\n");
        assert_eq!(said.run, Some(sample()));
    }

    const PLAN: Plan = Plan {
        kernel: Kernel::Bookworm,
        preempt: Preempt::Full,
        seconds: u32::MAX as u64,
        operations: Some(1000),
        kills: None,
        seed: 7,
        workers: 12,
        mode: Mode::NoLsm,
    };

    #[test]
    fn deaths_are_shared_among_guests() {
        for (kills, shares) in [
            (None, vec![(None, 7)]),
            (Some(10), vec![(Some(10), 7)]),
            (Some(25), vec![(Some(10), 7), (Some(10), 8), (Some(5), 9)]),
        ] {
            let split = Plan { kills, ..PLAN }.split();
            let found: Vec<_> = split.iter().map(|plan| (plan.kills, plan.seed)).collect();
            assert_eq!(found, shares);
        }
    }

    #[test]
    fn a_plan_says_how_to_repeat_it() {
        assert_eq!(
            PLAN.command(),
            "cargo xtask torture --kernel 6.1 --preempt full --mode no-lsm --seed 7 --workers 12 --operations 1000"
        );
        assert_eq!(
            PLAN.append(),
            "preempt=full lsm=lockdown,capability,landlock,yama,apparmor"
        );
    }
}
