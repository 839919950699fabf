//! Format, lints, and the tests that need no guest.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Tally, scenarios};
use crate::say;

/// All but what needs root; the scenarios are among that.
const TESTS: [&str; 8] = [
    "test",
    "--workspace",
    "--exclude",
    "rousr-ebpf",
    "--no-fail-fast",
    "--",
    "--skip",
    "::root::",
];

/// Each check counts as one test; so does each test.
pub(super) fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    for (name, arguments) in [
        ("format", &["fmt", "--all", "--", "--check"][..]),
        (
            "lints",
            &[
                "clippy",
                "--workspace",
                "--exclude",
                "rousr-ebpf",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
    ] {
        say::line(format!("{name}: cargo {}", arguments.join(" ")));
        tally.add(check(arguments)?);
    }
    say::line(format!("tests on this machine: cargo {}", TESTS.join(" ")));
    tally.add(tests()?);
    Ok(tally)
}

fn check(arguments: &[&str]) -> Result<Tally> {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .status()
        .context("cannot run cargo")?;
    Ok(Tally {
        passed: status.success().into(),
        failed: (!status.success()).into(),
    })
}

fn tests() -> Result<Tally> {
    let output = Command::new(env!("CARGO"))
        .args(TESTS)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let mut tally = scenarios::tally(&text);
    // Tests that did not build leave no result.
    if !output.status.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}
