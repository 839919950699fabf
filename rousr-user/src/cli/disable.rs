//! `rousr disable` and `rousr enable`.

use std::{
    fs, io,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::output::{self, need_root};
use crate::{
    agent,
    transaction::{HostKeeper, Places},
};

/// Stop everything that rousr does, until `rousr enable`
///
/// The agent is stopped and not started at boot, its BPF programs are detached, and apt's hooks do
/// nothing. Holds stay, and /usr stays as it is: writable or not.
#[derive(Debug, Args)]
pub(super) struct Disable {}

/// Undo `rousr disable`
#[derive(Debug, Args)]
pub(super) struct Enable {}

const UNIT: &str = "rousr.service";

pub(super) fn disable(_: &Disable) -> anyhow::Result<ExitCode> {
    need_root("stop rousr")?;
    let places = Places::default();
    // First of all: an upgrade that begins now is left alone.
    mark(&places.disabled)?;
    systemctl("disable")?;
    agent::detach_all()?;
    let keeper = HostKeeper::open(places)?;
    let holds = keeper.holds()?.holds.len();
    output::note(&format!(
        "disabled: apt's hooks do nothing, {holds} holds stay, /usr stays {}; `rousr enable` undoes it",
        keeper.level()?
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn enable(_: &Enable) -> anyhow::Result<ExitCode> {
    need_root("start rousr")?;
    systemctl("enable")?;
    let disabled = Places::default().disabled;
    match fs::remove_file(&disabled) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", disabled.display()));
        }
        _ => {}
    }
    output::note("enabled: the agent runs, and apt's hooks do their work");
    Ok(ExitCode::SUCCESS)
}

fn mark(disabled: &Path) -> anyhow::Result<()> {
    if let Some(folder) = disabled.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(disabled, "by `rousr disable`; `rousr enable` undoes it\n")
        .with_context(|| format!("cannot write {}", disabled.display()))
}

fn systemctl(verb: &str) -> anyhow::Result<()> {
    let status = Command::new("systemctl")
        .args(["--quiet", verb, "--now", UNIT])
        .status()
        .context("cannot run systemctl")?;
    if !status.success() {
        bail!("`systemctl {verb} --now {UNIT}` failed; see `systemctl status {UNIT}`");
    }
    Ok(())
}
