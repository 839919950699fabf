//! What the commands share that open /usr and seal it.

use serde::Serialize;

use super::output;
use crate::{
    agent::errand::{self, Step},
    seal::Level,
    transaction::{Opener, Outcome},
};

/// Why only root can do it.
pub(super) const NEED: &str = "change whether /usr is writable";

/// Has a step done, and tells what is amiss.
pub(super) fn run(step: Step) -> anyhow::Result<Outcome> {
    let outcome = errand::run(&step, output::warn)?;
    output::warn_of(&outcome.warnings);
    Ok(outcome)
}

/// Prints what it led to.
pub(super) fn show(outcome: &Outcome, json: bool) -> anyhow::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'o> {
        level: Level,
        wanted: Level,
        open_for: &'o [Opener],
    }
    let shown = Shown {
        level: outcome.level,
        wanted: outcome.wanted,
        open_for: &outcome.open_for,
    };
    output::show(json, &shown, || text(outcome) + "\n")
}

/// What it led to, in a line.
pub(super) fn text(outcome: &Outcome) -> String {
    if outcome.wanted == Level::Open {
        return "nothing says that /usr is to be read-only, so it is left as it is; add ro to its line in \
                /etc/fstab"
            .to_owned();
    }
    let openers: Vec<String> = outcome.open_for.iter().map(ToString::to_string).collect();
    match openers.is_empty() {
        true => state(outcome).to_owned(),
        false => format!("/usr is writable for {}", openers.join(" and ")),
    }
}

/// How far /usr is read-only where nobody has it open, and where to look if that is less than wanted.
pub(super) fn state(outcome: &Outcome) -> &'static str {
    match outcome.level {
        Level::Open => "/usr is still writable: `rousr blockers` names what is in the way",
        level if level >= outcome.wanted => "/usr is read-only again",
        _ => {
            "/usr is read-only again, its filesystem will be once nothing blocks that: see `rousr blockers`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_says_what_to_do() {
        let outcome = |level, wanted, open_for: &[Opener]| Outcome {
            level,
            wanted,
            open_for: open_for.to_vec(),
            preserved: 0,
            kept: 0,
            watched: true,
            reaped: 0,
            warnings: Vec::new(),
        };
        let sealed = Level::Sealed;
        for (outcome, part) in [
            (outcome(sealed, sealed, &[]), "/usr is read-only"),
            (outcome(Level::MountSealed, sealed, &[]), "rousr blockers"),
            (
                outcome(Level::MountSealed, Level::MountSealed, &[]),
                "/usr is read-only",
            ),
            (outcome(Level::Open, sealed, &[]), "rousr blockers"),
            (
                outcome(Level::Open, sealed, &[Opener::Transaction]),
                "for a transaction",
            ),
            (
                outcome(
                    Level::Open,
                    sealed,
                    &[Opener::Administrator { until: None }],
                ),
                "until `rousr seal`",
            ),
            (outcome(Level::Open, Level::Open, &[]), "/etc/fstab"),
        ] {
            assert!(text(&outcome).contains(part), "{}", text(&outcome));
        }
    }
}
