//! The torture test: workers take and release holders of thousands of watched inodes in every way
//! there is, while the package that the inodes come from is upgraded again and again and the agent
//! dies; a model that knows the true number of holders is compared with what rousr counts.
//!
//! One program, four roles. The *conductor* starts the *workers*, each with two *partners*. Each worker keeps
//! a model of its own holders only, and no worker holds another's file; so the sum of the models, taken while
//! all are quiet, is exact without shared memory.

mod agent;
mod conductor;
mod counters;
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

use crate::HOLDS;

/// Where the programs and the agent's log are; not in the volume.
const FOLDER: &str = "/run/rousr-torture";
const EMPTY_FOLDER: &str = "/run/rousr-torture/empty";
/// The package that is upgraded, and its files.
const PACKAGE: &str = "rousr-torture";
const PACKAGE_FOLDER: &str = "/usr/lib/rousr-torture";

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
            let failed = run.is_failed();
            report::report(run);
            return Ok(match failed {
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
