//! Builds the targets and runs them.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::output::{Output, Told};
use crate::{lab, process};

/// Longer inputs take longer, and find no more.
const LONGEST_INPUT: u32 = 4096;

/// What ends a run: whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    seconds: Option<u64>,
    executions: Option<u64>,
}

/// A target's run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    /// The target.
    pub(super) target: String,
    /// How many seconds it took.
    pub(super) seconds: f64,
    /// What libFuzzer told of it.
    #[serde(flatten)]
    pub(super) told: Told,
    /// What ended it too early.
    pub(super) finding: Option<Finding>,
}

/// An input for which something does not hold.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// What does not.
    pub(super) what: String,
    /// The file that has it.
    pub(super) input: PathBuf,
    /// The command that tries it once more.
    pub(super) command: String,
}

/// The targets, built.
pub(super) struct Bench {
    programs: PathBuf,
}

/// Their names: each has a corpus.
pub(super) fn targets() -> Result<Vec<String>> {
    let corpora = package().join("corpus");
    let unreadable = || format!("cannot read {}", corpora.display());
    let mut targets = Vec::new();
    for entry in fs::read_dir(&corpora).with_context(unreadable)? {
        let name = entry.with_context(unreadable)?.file_name();
        targets.push(name.to_string_lossy().into_owned());
    }
    targets.sort();
    Ok(targets)
}

fn package() -> PathBuf {
    lab::workspace().join("tests/fuzz")
}

/// Apart from what cargo builds otherwise: the flags differ.
fn target_folder() -> PathBuf {
    lab::workspace().join("target/fuzz")
}

impl Limit {
    pub(super) fn new(seconds: Option<u64>, executions: Option<u64>) -> Self {
        let seconds = seconds.or(executions.is_none().then_some(60));
        Self {
            seconds,
            executions,
        }
    }

    fn arguments(self) -> impl Iterator<Item = String> {
        let seconds = self
            .seconds
            .map(|seconds| format!("-max_total_time={seconds}"));
        let executions = self
            .executions
            .map(|executions| format!("-runs={executions}"));
        seconds.into_iter().chain(executions)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.seconds, self.executions) {
            (Some(seconds), Some(executions)) => {
                write!(f, "{executions} executions, {seconds} s at most")
            }
            (Some(seconds), None) => write!(f, "{seconds} s"),
            (None, Some(executions)) => write!(f, "{executions} executions"),
            (None, None) => f.write_str("without an end"),
        }
    }
}

impl Bench {
    /// Builds the targets. Without a sanitizer: those need an unstable compiler, and find errors of unsafe
    /// code, of which parsers have none.
    pub(super) fn build() -> Result<Self> {
        let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let folder = target_folder();
        let built = Command::new(env!("CARGO"))
            .args(["fuzz", "build", "--sanitizer=none", "--target", &triple])
            .arg("--fuzz-dir")
            .arg(package())
            .arg("--target-dir")
            .arg(&folder)
            .current_dir(lab::workspace())
            .stdin(Stdio::null())
            .status()
            .context("cannot run cargo")?;
        ensure!(
            built.success(),
            "the fuzz targets do not build; cargo says why above"
        );
        let programs = folder.join(triple).join("release");
        Ok(Self { programs })
    }

    /// Runs one to its end.
    pub(super) fn run(&self, target: &str, limit: Limit) -> Result<Run> {
        let grown = folder("corpus", target)?;
        let artifacts = folder("artifacts", target)?;
        let started = Instant::now();
        let output = Command::new(self.programs.join(target))
            // What is new goes to the first.
            .args([&grown, &package().join("corpus").join(target)])
            .args(limit.arguments())
            .arg(format!("-max_len={LONGEST_INPUT}"))
            .arg("-timeout=10")
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            // The message is what is told of a panic.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {target}"))?;
        let seconds = started.elapsed().as_secs_f64();
        let Output { told, finding } = Output::parse(&output.stderr);
        let finding = finding.map(|(input, what)| Finding {
            what,
            command: again(target, &input),
            input,
        });
        ended_well(output.status, finding.is_some()).with_context(|| {
            format!(
                "{target} ended with {}:\n{}",
                output.status,
                process::tail(&output.stderr, 20)
            )
        })?;
        Ok(Run {
            target: target.to_owned(),
            seconds,
            told,
            finding,
        })
    }
}

fn folder(kind: &str, target: &str) -> Result<PathBuf> {
    let folder = target_folder().join(kind).join(target);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn again(target: &str, input: &Path) -> String {
    format!(
        "cargo run --package rousr-fuzz --bin {target} -- {}",
        input.display()
    )
}

/// A finding ends it with a failure, and nothing else does.
fn ended_well(status: ExitStatus, is_finding: bool) -> Result<()> {
    ensure!(
        status.success() != is_finding,
        "it names no input that it failed for"
    );
    Ok(())
}
