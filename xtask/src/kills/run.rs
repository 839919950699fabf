//! The kills, some in each guest.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rousr_figures::kills::{Kill, Line, Options};

use super::view;
use crate::guest::{Ending, Guest};
use crate::install::{self, Installed};
use crate::lab::demo_package;
use crate::lab::kernel::Kernel;
use crate::lines::Lines;
use crate::{cargo, lab, say};

/// Each attaches programs anew, and an emulated CPU survives a limited number of those (docs/lab.md).
pub(super) const IN_A_GUEST: u64 = 8;

/// More than they take in a guest that shares its processors.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// How often a guest may fall to the emulator without having ended a single kill.
const PATIENCE: u32 = 5;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kernel: Kernel,
    pub(super) options: Options,
}

/// What every guest gets.
pub(super) struct Bench {
    share: PathBuf,
    installed: Vec<Installed>,
}

impl Bench {
    pub(super) fn build() -> Result<Self> {
        let installed = install::build_with_steps()?;
        let share = lab::workspace().join("target/kills");
        fs::create_dir_all(&share).with_context(|| format!("cannot make {}", share.display()))?;
        for version in ["1.0", "2.0"] {
            demo_package::build(version, &share)?;
        }
        cargo::plain_guest_program("kills", &share)?;
        Ok(Self { share, installed })
    }

    /// Runs all kills, and hands each over as it ends. What has ended stays, however it goes on.
    pub(super) fn run(&self, plan: &Plan, each: impl Fn(&Kill)) -> (Vec<Kill>, Result<()>) {
        let kills = RefCell::new(Vec::new());
        let ended = self.run_all(plan, &kills, &each);
        (kills.into_inner(), ended)
    }

    fn run_all(
        &self,
        plan: &Plan,
        kills: &RefCell<Vec<Kill>>,
        each: &impl Fn(&Kill),
    ) -> Result<()> {
        let all = plan.options.kills;
        let mut fruitless = 0;
        loop {
            let done = kills.borrow().len() as u64;
            if done >= all {
                return Ok(());
            }
            let options = Options {
                first: plan.options.first + done,
                kills: IN_A_GUEST.min(all - done),
                ..plan.options
            };
            say::line(format!(
                "kills: {done} of {all} done; the next from {} on",
                options.first
            ));
            let ending = self.boot(plan.kernel, &options, kills, each)?;
            let has_fruit = kills.borrow().len() as u64 > done;
            fruitless = if has_fruit { 0 } else { fruitless + 1 };
            match ending {
                Ending::Exited(0) => {}
                // What was done before it counts.
                Ending::EmulatorFault(fault) if fruitless < PATIENCE => {
                    say::line(format!("kills: {fault}: on in a new guest"));
                }
                Ending::EmulatorFault(fault) => bail!("{fault}"),
                Ending::Exited(status) => bail!(
                    "the guest's program ended with status {status}, and says above why; once more: {}",
                    command(plan.kernel, &options)
                ),
                Ending::TimedOut => bail!(
                    "not done within {} s; once more: {}",
                    TIMEOUT.as_secs(),
                    command(plan.kernel, &options)
                ),
                Ending::Interrupted => bail!(
                    "interrupted; on with: {}",
                    command(
                        plan.kernel,
                        &Options {
                            first: plan.options.first + kills.borrow().len() as u64,
                            kills: all - kills.borrow().len() as u64,
                            ..plan.options
                        }
                    )
                ),
            }
        }
    }

    fn boot(
        &self,
        kernel: Kernel,
        options: &Options,
        kills: &RefCell<Vec<Kill>>,
        each: &impl Fn(&Kill),
    ) -> Result<Ending> {
        let guest = Guest {
            timeout: TIMEOUT,
            installed: self.installed.clone(),
            share: Some(self.share.clone()),
            ..Guest::systemd(kernel)
        };
        let program = "/run/share/kills".into();
        let command: [OsString; 2] = [program, serde_json::to_string(options)?.into()];
        let mut output = Lines::new(|line: &[u8]| match serde_json::from_slice(line) {
            Ok(Line::Progress(text)) => say::line(format!("kills: {text}")),
            Ok(Line::Kill(kill)) => {
                each(&kill);
                if kill.is_failed() {
                    let one = Options {
                        first: kill.number,
                        kills: 1,
                        ..*options
                    };
                    say::line(format!(
                        "failed; once more: {}",
                        self::command(kernel, &one)
                    ));
                }
                kills.borrow_mut().push(*kill);
            }
            Err(_) => say::line(String::from_utf8_lossy(line)),
        });
        guest.run(&command, &mut output)
    }
}

/// The command that does it.
fn command(kernel: Kernel, options: &Options) -> String {
    let mut command = format!(
        "cargo xtask kills --kernel {} --seed {} --first {} --kills {}",
        kernel.name(),
        options.seed,
        options.first,
        options.kills
    );
    if let Some(role) = options.role {
        command += &format!(" --role {}", view::word(role));
    }
    if let Some(act) = options.act {
        command += &format!(" --act {}", view::word(act));
    }
    if let Some(step) = options.step {
        command += &format!(" --step {step}");
    }
    command
}

#[cfg(test)]
mod tests {
    use rousr_figures::kills::{Act, Role};

    use super::*;

    #[test]
    fn a_command_says_all_that_a_kill_follows_from() {
        let options = Options {
            seed: 7,
            first: 9,
            kills: 1,
            role: Some(Role::LoneHook),
            act: Some(Act::Removal),
            step: Some(3),
        };
        assert_eq!(
            command(Kernel::Bookworm, &options),
            "cargo xtask kills --kernel 6.1 --seed 7 --first 9 --kills 1 --role lone-hook --act removal --step 3"
        );
    }
}
