//! The scenarios in guests: one boot for many.

use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::Tally;
use crate::{
    cargo,
    guest::{Ending, Guest},
    install::{self, Installed},
    lab::{self, demo_package, kernel::Kernel},
};

/// From power-on to the last scenario's end.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// One guest.
pub(super) struct Boot {
    kernel: Kernel,
    append: &'static str,
    filters: Vec<String>,
}

impl Boot {
    pub(super) fn new(kernel: Kernel, append: &'static str, filters: &[&str]) -> Self {
        let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
        Self {
            kernel,
            append,
            filters,
        }
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.kernel.name(), self.append)
            .trim_end()
            .to_owned()
    }
}

/// What every guest gets.
pub(super) struct Scenarios {
    share: PathBuf,
    installed: Vec<Installed>,
}

impl Scenarios {
    /// Builds rousr, the scenarios and the packages they use.
    pub(super) fn build() -> Result<Self> {
        let installed = install::build(false)?;
        let share = lab::workspace().join("target/scenarios");
        fs::create_dir_all(&share).with_context(|| format!("cannot make {}", share.display()))?;
        for version in ["1.0", "2.0"] {
            demo_package::build(version, &share)?;
        }
        let program = build_program()?;
        let shared = share.join("scenarios");
        fs::copy(&program, &shared).with_context(|| {
            format!("cannot copy {} to {}", program.display(), shared.display())
        })?;
        Ok(Self { share, installed })
    }

    /// Runs one guest, and shows what it printed once it has ended.
    pub(super) fn run(&self, boot: &Boot) -> Result<Tally> {
        let guest = Guest {
            append: boot.append.to_owned(),
            timeout: TIMEOUT,
            installed: self.installed.clone(),
            share: Some(self.share.clone()),
            ..Guest::systemd(boot.kernel)
        };
        let mut command: Vec<OsString> =
            vec!["/run/share/scenarios".into(), "--test-threads=1".into()];
        command.extend(boot.filters.iter().map(OsString::from));
        let (ending, output) = guest.run_whole(&command, Vec::new)?;
        let text = String::from_utf8_lossy(&output);
        println!("--- {} ---\n{text}", boot.name());
        let mut tally = tally(&text);
        match ending {
            Ending::Exited(0) if tally.passed > 0 => {}
            Ending::Exited(0) => bail!("{}: no scenario ran", boot.name()),
            // The tally says which.
            Ending::Exited(_) if tally.failed > 0 => {}
            Ending::Exited(status) => {
                eprintln!("{}: the scenarios ended with status {status}", boot.name());
                tally.failed += 1;
            }
            Ending::TimedOut => {
                eprintln!("{}: not done within {} s", boot.name(), TIMEOUT.as_secs());
                tally.failed += 1;
            }
            Ending::Interrupted => bail!("interrupted"),
            Ending::EmulatorFault(fault) => bail!("{}: {fault}", boot.name()),
        }
        Ok(tally)
    }
}

fn build_program() -> Result<PathBuf> {
    let arguments = ["test", "--quiet", "--package=rousr-tests"];
    let only = ["--test=scenarios", "--no-run"];
    cargo::program(&[arguments.as_slice(), &only].concat(), "scenarios")
}

/// Adds up the result lines of test programs.
pub(super) fn tally(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines() {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            continue;
        };
        for part in result.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => tally.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => tally.failed += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_results() {
        let output = "running 3 tests\n\
            test a ... ok\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
            test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s\n";
        assert_eq!(
            tally(output),
            Tally {
                passed: 42,
                failed: 1
            }
        );
        assert_eq!(tally("Kernel panic"), Tally::default());
    }
}
