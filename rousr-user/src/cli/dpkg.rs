//! `rousr dpkg ...`: what dpkg's own hooks call, for a dpkg that nobody else announces.

use std::{env, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    hook::{self, Moment},
    output::warn,
};
use crate::{
    agent::errand::{self, Step},
    dpkg::alone::Dpkg,
    transaction::{Frontend, Opener, Openings, Outcome, Places},
};

/// Set by a frontend that has taken dpkg's lock for it.
const LOCKED: &str = "DPKG_FRONTEND_LOCKED";

/// One of dpkg's hooks.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Hook {
    /// Make /usr writable, and keep what is about to be replaced or removed
    PreInvoke,
    /// Settle the kept files, and make /usr read-only again
    PostInvoke,
}

pub(super) fn run(hook: Hook) -> ExitCode {
    match hook {
        Hook::PreInvoke => hook::run(Moment::Before, |_| begin()),
        Hook::PostInvoke => hook::run(Moment::After, |_| finish()),
    }
}

fn begin() -> anyhow::Result<Option<Outcome>> {
    let frontend = Frontend::of_hook().context("cannot tell which dpkg runs this hook")?;
    let dpkg = Dpkg::read(frontend.pid).context("cannot tell what dpkg is about to do")?;
    if dpkg.is_elsewhere() || is_announced() {
        return Ok(None);
    }
    let begun = errand::run(&Step::Begin(Some(frontend)), warn)?;
    let mut outcome = match errand::run(&Step::Preserve(dpkg.stream()), warn) {
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
fn finish() -> anyhow::Result<Option<Outcome>> {
    let Some(frontend) = Frontend::of_hook() else {
        return Ok(None);
    };
    let is_ours = openings()?.is_some_and(|openings| openings.frontends.has(frontend));
    match is_ours {
        true => errand::run(&Step::Finish(Some(frontend)), warn).map(Some),
        false => Ok(None),
    }
}

/// Whether the hooks of a frontend have done it already.
fn is_announced() -> bool {
    let is_open = || {
        let openings = openings().ok().flatten();
        openings.is_some_and(|openings| {
            openings
                .openers()
                .any(|opener| opener == Opener::Transaction)
        })
    };
    env::var_os(LOCKED).is_some() && is_open()
}

fn openings() -> anyhow::Result<Option<Openings>> {
    Ok(Openings::load(&Places::default().openings)?)
}
