//! `rousr dpkg ...`: what dpkg's own hooks call, for a dpkg that nobody else announces.

use std::{env, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use rustix::process::geteuid;

use super::{
    hook::{self, Moment},
    output::warn,
};
use crate::{
    agent::errand::{self, Step},
    dpkg::{alone::Dpkg, environment::Invocation},
    transaction::{Frontend, Outcome},
};

/// One of dpkg's hooks.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Hook {
    /// Make /usr writable, and keep what is about to be replaced or removed
    PreInvoke,
    /// Settle the kept files, and make /usr read-only again
    PostInvoke,
}

pub(super) fn run(hook: Hook) -> ExitCode {
    let invocation = Invocation::read(|name| env::var_os(name));
    // Under a frontend its hooks have said what is to be said.
    let is_told = invocation.is_locked;
    match hook {
        Hook::PreInvoke => hook::run(Moment::Before, is_told, |_| begin(invocation)),
        Hook::PostInvoke => hook::run(Moment::After, is_told, |_| finish(&invocation)),
    }
}

fn begin(invocation: Invocation) -> anyhow::Result<Option<Outcome>> {
    let frontend = frontend(&invocation).context("cannot tell which dpkg runs this hook")?;
    let is_announced = errand::is_announced(&invocation);
    let dpkg =
        Dpkg::read(frontend.pid, invocation).context("cannot tell what dpkg is about to do")?;
    // What only root can do dpkg itself refuses to others.
    if !geteuid().is_root() || !dpkg.changes_files() || is_announced {
        return Ok(None);
    }
    let begun = errand::run(&Step::Begin(Some(frontend)), warn)?;
    let mut outcome = match errand::run(&Step::Preserve(dpkg.stream().to_bytes()), warn) {
        Ok(preserved) => preserved,
        // Files may go unpreserved, but dpkg goes on.
        Err(error) => {
            warn(&format!("{error:#}; dpkg goes on"));
            return Ok(Some(begun));
        }
    };
    outcome.warnings.extend(begun.warnings);
    Ok(Some(outcome))
}

/// Only what [`begin`] has begun.
fn finish(invocation: &Invocation) -> anyhow::Result<Option<Outcome>> {
    let Some(frontend) = frontend(invocation) else {
        return Ok(None);
    };
    match errand::has_begun(frontend)? {
        true => errand::run(&Step::Finish(Some(frontend)), warn).map(Some),
        false => Ok(None),
    }
}

/// The dpkg that runs this hook. Its own lock comes after its first hook, unless a frontend has taken it.
fn frontend(invocation: &Invocation) -> Option<Frontend> {
    let frontend = Frontend::of_hook()?;
    Some(Frontend {
        locks_later: !invocation.is_locked,
        ..frontend
    })
}
