//! The torture test: workers take and release holders of thousands of watched inodes in every way
//! there is, while the package that the inodes come from is upgraded again and again and the agent
//! dies; a model that knows the true number of holders is compared with what rousr counts.
//!
//! One program, four roles. The *conductor* starts the *workers*, each with two *partners*. Each worker keeps
//! a model of its own holders only, and no worker holds another's file; so the sum of the models, taken while
//! all are quiet, is exact without shared memory.

mod agent;
mod conductor;
mod figures;
mod ground;
mod holdings;
mod image;
mod judge;
mod kind;
mod means;
mod package;
mod partner;
mod protocol;
mod report;
mod team;
mod worker;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// Where the programs and the agent's log are; not in the volume.
const FOLDER: &str = "/run/rousr-torture";
const EMPTY_FOLDER: &str = "/run/rousr-torture/empty";
/// The hold directory.
const HOLDS: &str = "/usr/.rousr";
/// The package that is upgraded, and its files.
const PACKAGE: &str = "rousr-torture";
const PACKAGE_FOLDER: &str = "/usr/lib/rousr-torture";

/// What a run does. The sequence of each worker's operations follows from `seed`, `workers`, `files`,
/// `operations_a_round` and the worker's number; the rest says where it is cut off.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    seed: u64,
    /// Processes that take and release.
    workers: usize,
    /// Files of the package.
    files: usize,
    /// Each worker's, between the opening of a generation and the letting go of the one before.
    operations_a_round: u64,
    /// The run ends after the round in which it is over.
    seconds: u64,
    /// Or in which as many are done.
    operations: Option<u64>,
    /// Or in which the agent has died as often: once in each upgrade.
    kills: Option<u64>,
    mode: Mode,
}

/// How the agent is started.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// As its unit says.
    Normal,
    /// With a ring buffer that overflows.
    Overflow,
}

/// Plays a role by the program's arguments: `worker PLACE`, `partner`, or the conductor's options.
pub fn main(arguments: &[String]) -> ExitCode {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match act(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: &[&str]) -> Result<ExitCode> {
    match *arguments {
        ["partner"] => partner::serve()?,
        ["worker", place] => worker::serve(serde_json::from_str(place)?)?,
        [options] => {
            let options = serde_json::from_str(options).context("the options are no JSON")?;
            let run = conductor::run(&options)?;
            report::report(&run);
            return Ok(match run.is_failed() {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            });
        }
        _ => bail!("it is run by `cargo xtask torture`"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of a file of the package.
fn file_path(index: usize) -> PathBuf {
    format!("{PACKAGE_FOLDER}/{index:05}").into()
}

/// The path of an inode's hold.
fn hold_path(inode: u64) -> PathBuf {
    format!("{HOLDS}/{inode}").into()
}

fn open(path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path.as_ref(),
        flags | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?)
}
