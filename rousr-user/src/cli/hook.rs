//! What the hooks of apt and dpkg have in common.
//!
//! The agent does the work; where it does not run or fails, the same steps run here. Whatever goes
//! wrong is a warning, with one exception: where /usr stays read-only, dpkg must not change anything.

use std::{env, process::ExitCode};

use anyhow::anyhow;

use super::{
    opening::state,
    output::{self, note, warn},
    progress,
};
use crate::{
    agent::{errand::stays_read_only, switch},
    dpkg::environment::{Environment, OptOut},
    seal::Level,
    transaction::Outcome,
};

/// When a hook is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moment {
    /// dpkg has not changed anything.
    Before,
    /// As before, and it is known what will change.
    Announced,
    /// dpkg is done.
    After,
}

impl Moment {
    /// What there is to wait for.
    fn doing(self) -> &'static str {
        match self {
            Self::Before => "making /usr writable",
            Self::Announced => "keeping the files that are about to be replaced",
            Self::After => "settling the files that were kept, and making /usr read-only",
        }
    }
}

/// Takes a step, unless it is not wanted, which is said once (`is_told` where it has been); one that has
/// nothing to do has no outcome.
pub(super) fn run(
    moment: Moment,
    is_told: bool,
    step: impl FnOnce(&Environment) -> anyhow::Result<Option<Outcome>>,
) -> ExitCode {
    let environment = Environment::read(|name| env::var_os(name));
    let is_news = moment == Moment::Before && !is_told;
    if let Some(opt_out) = environment.opt_out {
        if is_news {
            note_opt_out(opt_out);
        }
        return ExitCode::SUCCESS;
    }
    if switch::is_disabled() {
        if is_news {
            note(
                "disabled: /usr and what is replaced there are left alone; `rousr enable` undoes it",
            );
        }
        return ExitCode::SUCCESS;
    }
    match progress::during(moment.doing(), || step(&environment)) {
        Ok(Some(outcome)) => {
            tell(moment, &outcome);
            match moment == Moment::Before && outcome.wanted > Level::Open && stays_read_only() {
                true => forgive(moment, &anyhow!(ELSEWHERE)),
                false => ExitCode::SUCCESS,
            }
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => forgive(moment, &error),
    }
}

/// What the agent makes writable is the mount in its own mount namespace.
const ELSEWHERE: &str = "this process has it from a mount of its own, as units with PrivateTmp= or ProtectSystem= do, which is still read-only: \
     run it outside of that, or `mount -o remount,rw /usr` there first";

/// A failed hook stops apt or dpkg only where dpkg would meet a read-only /usr.
fn forgive(moment: Moment, error: &anyhow::Error) -> ExitCode {
    match moment {
        Moment::Before if stays_read_only() => {
            note(&format!(
                "/usr cannot be made writable, so dpkg is not started: {error:#}"
            ));
            return ExitCode::FAILURE;
        }
        Moment::Before | Moment::Announced => warn(&format!(
            "{error:#}; the upgrade goes on, /usr may stay writable after it"
        )),
        Moment::After => warn(&format!(
            "/usr may still be writable: {error:#}; see `rousr status`"
        )),
    }
    ExitCode::SUCCESS
}

fn note_opt_out(opt_out: OptOut) {
    let name = match opt_out {
        OptOut::RousrSkip => "ROUSR_SKIP=1",
        OptOut::NoAptRemount => "NO_APT_REMOUNT=yes",
    };
    note(&format!(
        "{name}: /usr and what is replaced there are left alone"
    ));
}

fn tell(moment: Moment, outcome: &Outcome) {
    output::warn_of(&outcome.warnings);
    if moment == Moment::After
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
