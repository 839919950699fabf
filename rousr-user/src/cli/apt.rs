//! `rousr apt ...`: what apt's hooks call.
//!
//! The agent does the work; where it does not run or fails, the same steps run here. Whatever goes
//! wrong is a warning, with one exception: where /usr stays read-only, apt must not start dpkg.

use std::{env, process::ExitCode};

use clap::Subcommand;

use crate::{
    agent::errand::{self, Step},
    dpkg::environment::{Environment, OptOut},
    seal::Level,
    transaction::{HostKeeper, Outcome, Places},
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

pub(super) fn run(hook: Hook) -> anyhow::Result<ExitCode> {
    let environment = match Environment::read(|name| env::var_os(name)) {
        Ok(environment) => environment,
        Err(error) => return Ok(forgive(hook, &error)),
    };
    if let Some(opt_out) = environment.opt_out {
        note_opt_out(hook, opt_out);
        return Ok(ExitCode::SUCCESS);
    }
    match step(hook, &environment) {
        Ok(outcome) => {
            tell(hook, &outcome);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(forgive(hook, error.as_ref())),
    }
}

fn step(hook: Hook, environment: &Environment) -> anyhow::Result<Outcome> {
    let step = match hook {
        Hook::PreInvoke => Step::Begin,
        Hook::PreInstallPkgs => Step::Preserve(environment.read_stream()?),
        Hook::PostInvoke => Step::Finish,
    };
    errand::run(&step, warn)
}

/// A failed hook stops apt only where dpkg would meet a read-only /usr.
fn forgive(hook: Hook, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let level = HostKeeper::open(Places::default()).and_then(|keeper| keeper.level());
    match (hook, level) {
        (Hook::PreInvoke, Ok(Level::Open)) | (Hook::PreInstallPkgs, _) => {
            warn(&format!(
                "{error}; the upgrade goes on, /usr may stay writable after it"
            ));
            ExitCode::SUCCESS
        }
        (Hook::PreInvoke, _) => {
            eprintln!("rousr: /usr cannot be made writable, so dpkg is not started: {error}");
            ExitCode::FAILURE
        }
        (Hook::PostInvoke, _) => {
            warn(&format!(
                "/usr may still be writable: {error}; see `rousr status`"
            ));
            ExitCode::SUCCESS
        }
    }
}

fn note_opt_out(hook: Hook, opt_out: OptOut) {
    if matches!(hook, Hook::PreInvoke) {
        let name = match opt_out {
            OptOut::RousrSkip => "ROUSR_SKIP=1",
            OptOut::NoAptRemount => "NO_APT_REMOUNT=yes",
        };
        eprintln!("rousr: {name}: /usr and what is replaced there are left alone");
    }
}

fn tell(hook: Hook, outcome: &Outcome) {
    for warning in &outcome.warnings {
        warn(warning);
    }
    if !matches!(hook, Hook::PostInvoke) || outcome.wanted == Level::Open {
        return;
    }
    if let Some(opener) = outcome.open_for.first() {
        return eprintln!("rousr: /usr stays writable for {opener}");
    }
    let state = match outcome.level {
        Level::Sealed => "/usr is read-only again",
        Level::MountSealed => {
            "/usr is read-only again, its filesystem will be once nothing blocks that: see `rousr blockers`"
        }
        Level::Open => "/usr is still writable: `rousr blockers` names what is in the way",
    };
    match outcome.kept {
        0 => eprintln!("rousr: {state}"),
        1 => {
            eprintln!("rousr: {state}; 1 replaced file is still in use and goes with its last user")
        }
        kept => eprintln!(
            "rousr: {state}; {kept} replaced files are still in use and go with their last users"
        ),
    }
}

fn warn(text: &str) {
    eprintln!("rousr: warning: {text}");
}
