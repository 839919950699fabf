//! `rousr apt ...`: what apt's hooks call.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    hook::{self, Moment},
    output::warn,
};
use crate::{
    agent::errand::{self, Step},
    dpkg::environment::Environment,
    transaction::Frontend,
};

/// One of apt's hooks.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Hook {
    /// Make /usr writable
    PreInvoke,
    /// Keep what the announced packages are about to replace or remove
    PreInstallPkgs,
    /// Settle the kept files, and make /usr read-only again
    PostInvoke,
}

pub(super) fn run(hook: Hook) -> ExitCode {
    let moment = match hook {
        Hook::PreInvoke => Moment::Before,
        Hook::PreInstallPkgs => Moment::Announced,
        Hook::PostInvoke => Moment::After,
    };
    hook::run(moment, false, |environment| {
        errand::run(&step(hook, environment)?, warn).map(Some)
    })
}

fn step(hook: Hook, environment: &Environment) -> anyhow::Result<Step> {
    Ok(match hook {
        Hook::PreInvoke => Step::Begin(Frontend::of_hook()),
        Hook::PreInstallPkgs => Step::Preserve(environment.read_stream()?),
        Hook::PostInvoke => Step::Finish(Frontend::of_hook()),
    })
}
