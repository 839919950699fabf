//! `rousr apt ...`: what apt's hooks call.
//!
//! The agent does the work; where it does not run or fails, the same steps run here. Whatever goes
//! wrong is a warning, with one exception: where /usr stays read-only, apt must not start dpkg.

use std::{env, path::Path, process::ExitCode};

use clap::Subcommand;

use super::{
    opening::state,
    output::{self, note, warn},
};
use crate::{
    agent::{
        errand::{self, Step},
        switch,
    },
    dpkg::environment::{Environment, OptOut},
    seal::Level,
    sys::mount::is_read_only,
    transaction::{Frontend, Outcome},
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
    let environment = Environment::read(|name| env::var_os(name));
    if let Some(opt_out) = environment.opt_out {
        note_opt_out(hook, opt_out);
        return Ok(ExitCode::SUCCESS);
    }
    if switch::is_disabled() {
        if matches!(hook, Hook::PreInvoke) {
            note(
                "disabled: /usr and what is replaced there are left alone; `rousr enable` undoes it",
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    match step(hook, &environment) {
        Ok(outcome) => {
            tell(hook, &outcome);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(forgive(hook, &error)),
    }
}

fn step(hook: Hook, environment: &Environment) -> anyhow::Result<Outcome> {
    let step = match hook {
        Hook::PreInvoke => Step::Begin(Frontend::of_hook()),
        Hook::PreInstallPkgs => Step::Preserve(environment.read_stream()?),
        Hook::PostInvoke => Step::Finish(Frontend::of_hook()),
    };
    errand::run(&step, warn)
}

/// A failed hook stops apt only where dpkg would meet a read-only /usr.
fn forgive(hook: Hook, error: &anyhow::Error) -> ExitCode {
    match hook {
        // Where it cannot be told, dpkg will find out.
        Hook::PreInvoke if is_read_only(Path::new("/usr")).unwrap_or(false) => {
            note(&format!(
                "/usr cannot be made writable, so dpkg is not started: {error:#}"
            ));
            return ExitCode::FAILURE;
        }
        Hook::PreInvoke | Hook::PreInstallPkgs => warn(&format!(
            "{error:#}; the upgrade goes on, /usr may stay writable after it"
        )),
        Hook::PostInvoke => warn(&format!(
            "/usr may still be writable: {error:#}; see `rousr status`"
        )),
    }
    ExitCode::SUCCESS
}

fn note_opt_out(hook: Hook, opt_out: OptOut) {
    if matches!(hook, Hook::PreInvoke) {
        let name = match opt_out {
            OptOut::RousrSkip => "ROUSR_SKIP=1",
            OptOut::NoAptRemount => "NO_APT_REMOUNT=yes",
        };
        note(&format!(
            "{name}: /usr and what is replaced there are left alone"
        ));
    }
}

fn tell(hook: Hook, outcome: &Outcome) {
    output::warn_of(&outcome.warnings);
    if matches!(hook, Hook::PostInvoke)
        && let Some(text) = farewell(outcome)
    {
        note(&text);
    }
}

/// What is to be known after an upgrade; nothing where nothing is to be read-only.
fn farewell(outcome: &Outcome) -> Option<String> {
    if outcome.wanted == Level::Open {
        return None;
    }
    if let Some(opener) = outcome.open_for.first() {
        return Some(format!("/usr stays writable for {opener}"));
    }
    let state = state(outcome);
    let in_use = match outcome.kept {
        0 => return Some(state.to_owned()),
        1 => "1 replaced file is still in use and goes".to_owned(),
        kept => format!("{kept} replaced files are still in use and go"),
    };
    let when = match (outcome.watched, outcome.kept) {
        (true, 1) => "with its last user",
        (true, _) => "with their last users",
        (false, _) => "at the next upgrade, or once the agent runs: `systemctl start rousr`",
    };
    Some(format!("{state}; {in_use} {when}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Opener;

    #[test]
    fn a_farewell_tells_what_is_and_what_follows() {
        let outcome = |level, wanted, kept, watched, open_for: &[Opener]| Outcome {
            level,
            wanted,
            open_for: open_for.to_vec(),
            preserved: 0,
            kept,
            watched,
            reaped: 0,
            warnings: Vec::new(),
        };
        let (open, mount, sealed) = (Level::Open, Level::MountSealed, Level::Sealed);
        let table = [
            (outcome(open, open, 0, true, &[]), None),
            (
                outcome(sealed, sealed, 0, true, &[]),
                Some("/usr is read-only again"),
            ),
            (
                outcome(mount, mount, 0, true, &[]),
                Some("/usr is read-only again"),
            ),
            (
                outcome(mount, sealed, 0, true, &[]),
                Some(
                    "/usr is read-only again, its filesystem will be once nothing blocks that: see `rousr blockers`",
                ),
            ),
            (
                outcome(sealed, sealed, 1, true, &[]),
                Some(
                    "/usr is read-only again; 1 replaced file is still in use and goes with its last user",
                ),
            ),
            (
                outcome(sealed, sealed, 2, false, &[]),
                Some(
                    "/usr is read-only again; 2 replaced files are still in use and go at the next upgrade, or once the agent runs: `systemctl start rousr`",
                ),
            ),
            (
                outcome(open, sealed, 0, true, &[]),
                Some("/usr is still writable: `rousr blockers` names what is in the way"),
            ),
            (
                outcome(
                    open,
                    sealed,
                    0,
                    true,
                    &[Opener::Administrator { until: None }],
                ),
                Some("/usr stays writable for `rousr unseal`, until `rousr seal`"),
            ),
        ];
        for (outcome, text) in table {
            assert_eq!(farewell(&outcome).as_deref(), text);
        }
    }
}
