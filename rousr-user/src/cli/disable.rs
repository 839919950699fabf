//! `rousr disable` and `rousr enable`.

use std::process::ExitCode;

use clap::Args;

use super::output::{self, need_root};
use crate::agent::switch::{self, Disabled};

/// Stop everything that rousr does, until `rousr enable`
///
/// The agent or a guard is stopped and none started at boot, its BPF programs are detached, and apt's
/// hooks do nothing. Holds stay, and /usr stays as it is: writable or not.
#[derive(Debug, Args)]
pub(super) struct Disable {}

/// Undo `rousr disable`
#[derive(Debug, Args)]
pub(super) struct Enable {}

pub(super) fn disable(_: &Disable) -> anyhow::Result<ExitCode> {
    need_root("stop rousr")?;
    let Disabled { holds, level } = switch::disable()?;
    output::note(&format!(
        "disabled: apt's hooks do nothing, {holds} holds stay, /usr stays {level}; `rousr enable` undoes it"
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn enable(_: &Enable) -> anyhow::Result<ExitCode> {
    need_root("start rousr")?;
    switch::enable()?;
    output::note("enabled: the agent runs, and apt's hooks do their work");
    Ok(ExitCode::SUCCESS)
}
