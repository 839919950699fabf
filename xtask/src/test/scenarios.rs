//! The scenarios in guests: one boot for many.

use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::Tally;
use crate::{
    cargo,
    guest::{Ending, Guest},
    install::{self, Installed},
    lab::{self, demo_package, kernel::Kernel, layout::Layout},
    setup::Need,
};

/// From power-on to the last scenario's end.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// One guest.
pub(super) struct Boot {
    kernel: Kernel,
    append: &'static str,
    layout: Layout,
    prepare: Option<&'static str>,
    program: &'static str,
    filters: Vec<String>,
    /// What is left to another guest.
    left_out: Vec<&'static str>,
}

impl Boot {
    pub(super) fn new(kernel: Kernel, append: &'static str, filters: &[&str]) -> Self {
        let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
        Self {
            kernel,
            append,
            layout: Layout::Ext4,
            prepare: None,
            program: "scenarios",
            filters,
            left_out: Vec::new(),
        }
    }

    /// All programs, but for scenarios that another guest has.
    pub(super) fn all_but(kernel: Kernel, left_out: &[&'static str]) -> Self {
        Self {
            left_out: left_out.to_vec(),
            ..Self::new(kernel, "", &[])
        }
    }

    /// The scenarios of a layout.
    pub(super) fn of_layout(layout: Layout, kernel: Kernel) -> Self {
        let filter = format!("::{}::root::", layout.name());
        Self {
            layout,
            ..Self::new(kernel, "", &[&filter])
        }
    }

    /// One of the boots' tests, in a guest that is prepared for it.
    pub(super) fn prepared(
        kernel: Kernel,
        append: &'static str,
        prepare: &'static str,
        test: &str,
    ) -> Self {
        Self {
            prepare: Some(prepare),
            program: BOOTS.2,
            ..Self::new(kernel, append, &[test])
        }
    }

    /// All programs, or the scenarios that the filters let through; and what the agent did, where one fails.
    fn command(&self) -> [OsString; 3] {
        let (names, mut arguments) = match self.filters.is_empty() {
            true => (
                PROGRAMS.map(|(_, _, name)| name).join(" "),
                vec!["::root::"],
            ),
            false => {
                let filters = self.filters.iter().map(String::as_str);
                (self.program.to_owned(), filters.collect())
            }
        };
        if self.layout == Layout::Ext4 {
            arguments.push(OTHER_LAYOUTS);
        }
        for name in &self.left_out {
            arguments.extend(["--skip", name]);
        }
        let arguments = arguments.join(" ");
        let script = format!(
            "failed=0; for name in {names}; do \
             /run/share/$name --test-threads=1 {arguments} || failed=$?; done; \
             [ $failed = 0 ] || {JOURNAL}; exit $failed"
        );
        ["sh", "-c", &script].map(OsString::from)
    }

    /// The disk of its layout.
    pub(super) fn need(&self) -> Need {
        Need::Layout(self.layout)
    }

    pub(super) fn name(&self) -> String {
        let layout = match self.layout {
            Layout::Ext4 => "",
            layout => layout.name(),
        };
        let test = match self.prepare {
            Some(_) => self.filters.join(" "),
            None => String::new(),
        };
        [self.kernel.name(), self.append, layout, &test]
            .map(|part| format!("{part} "))
            .concat()
            .replace("  ", " ")
            .trim_end()
            .to_owned()
    }
}

/// Leaves out the scenarios of layouts that a plain guest does not have.
const OTHER_LAYOUTS: &str = "--skip layouts::";

/// The last that the agent said.
const JOURNAL: &str = "journalctl --no-pager -o short-monotonic -n 200 -u rousr -u rousr-guard";

/// Test programs, as cargo builds them and as the guest knows them: the scenarios, and tests of parts that
/// need a kernel to themselves.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("rousr-tests", "--test=scenarios", "scenarios"),
    ("rousr-user", "--test=mounts", "mounts"),
    ("rousr-tests", "--lib", "rousr_tests"),
];

/// The tests of [`super::crashes`], each for a guest of its own.
const BOOTS: (&str, &str, &str) = ("rousr-tests", "--test=boots", "boots");

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
        for (package, target, name) in PROGRAMS.into_iter().chain([BOOTS]) {
            let arguments = ["test", "--quiet", "--package", package, target, "--no-run"];
            let program = cargo::program(&arguments, name)?;
            cargo::strip(&program, &share.join(name))?;
        }
        Ok(Self { share, installed })
    }

    /// Runs one guest, and shows what it printed once it has ended.
    pub(super) fn run(&self, boot: &Boot) -> Result<Tally> {
        let guest = Guest {
            layout: boot.layout,
            append: boot.append.to_owned(),
            prepare: boot.prepare,
            timeout: TIMEOUT,
            installed: self.installed.clone(),
            share: Some(self.share.clone()),
            ..Guest::systemd(boot.kernel)
        };
        let command = boot.command();
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
