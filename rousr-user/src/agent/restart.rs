//! What restarts free, and what is left to people.

use std::{collections::BTreeSet, fs, io, path::Path, process::Command};

use anyhow::{Context as _, bail};
use glob::Pattern;
use serde::Serialize;

use super::remedy::Remedy;

/// Names units that are never restarted.
pub const NEVER: &str = "/etc/rousr/never-restart";

/// A restart of these ends what somebody types. What ends sessions has no restart for a remedy.
const ALWAYS: [&str; 3] = [
    "getty@*.service",
    "serial-getty@*.service",
    "console-getty.service",
];

/// What is done, in this order, and what is left to people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Restarts.
    pub restarts: Vec<Step>,
    /// The rest.
    pub by_hand: Vec<Remedy>,
}

/// A restart.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub remedy: Remedy,
    /// The same as a line of shell.
    pub command: String,
    /// Null where it was not tried.
    pub succeeded: Option<bool>,
}

impl Plan {
    /// Leaves units alone that match any of the patterns.
    pub fn new(remedies: BTreeSet<Remedy>, never: &[Pattern]) -> Self {
        let mut plan = Self {
            restarts: Vec::new(),
            by_hand: Vec::new(),
        };
        for remedy in remedies {
            match is_automatic(&remedy, never) {
                true => plan.restarts.push(Step {
                    command: remedy.to_string(),
                    remedy,
                    succeeded: None,
                }),
                false => plan.by_hand.push(remedy),
            }
        }
        plan
    }

    /// Restarts one after another, each told to `before` first.
    pub fn carry_out(&mut self, before: impl Fn(&Step)) {
        for step in &mut self.restarts {
            before(step);
            step.succeeded = Some(succeeds(&step.remedy.command()));
        }
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.by_hand.is_empty()
            && self
                .restarts
                .iter()
                .all(|step| step.succeeded == Some(true))
    }
}

/// Whether it takes nothing from anybody.
fn is_automatic(remedy: &Remedy, never: &[Pattern]) -> bool {
    match remedy {
        Remedy::Reexecute { .. } => true,
        Remedy::Restart { unit, .. } => !never.iter().any(|pattern| pattern.matches(unit)),
        _ => false,
    }
}

/// The units to leave alone: [`ALWAYS`], and what the file names, one pattern a line; `#` begins a
/// comment.
///
/// # Errors
///
/// Fails where the file is there and cannot be read, or a line is no pattern.
pub fn never(file: &Path) -> anyhow::Result<Vec<Pattern>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut patterns: Vec<Pattern> = ALWAYS
        .iter()
        .map(|pattern| Pattern::new(pattern).context("a pattern of ours"))
        .collect::<Result<_, _>>()?;
    for (number, line) in text.lines().enumerate() {
        let pattern = line.split('#').next().unwrap_or_default().trim();
        if pattern.is_empty() {
            continue;
        }
        match Pattern::new(pattern) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => bail!(
                "{}:{}: {pattern:?} is no pattern: {error}; nothing was restarted",
                file.display(),
                number + 1
            ),
        }
    }
    Ok(patterns)
}

fn succeeds(command: &[String]) -> bool {
    match command {
        [program, arguments @ ..] => Command::new(program)
            .args(arguments)
            .status()
            .is_ok_and(|status| status.success()),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restart(unit: &str, user: Option<u32>) -> Remedy {
        Remedy::Restart {
            unit: unit.to_owned(),
            user,
        }
    }

    fn patterns(text: &str) -> anyhow::Result<Vec<Pattern>> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("never-restart");
        fs::write(&file, text).expect("written");
        never(&file)
    }

    #[test]
    fn units_are_restarted_and_people_are_not() {
        let never = patterns("# ours\nmy-*.service  # and this\n\n").expect("patterns");
        let remedies = BTreeSet::from([
            Remedy::Reexecute { user: None },
            Remedy::Reboot,
            Remedy::End { pid: 7 },
            restart("ssh.service", None),
            restart("app.service", Some(1000)),
            restart("getty@tty1.service", None),
            restart("my-database.service", None),
        ]);
        let plan = Plan::new(remedies, &never);
        let commands: Vec<&str> = plan.restarts.iter().map(|step| &*step.command).collect();
        assert_eq!(
            commands,
            [
                "systemctl daemon-reexec",
                "systemctl --user -M 1000@ restart app.service",
                "systemctl restart ssh.service",
            ]
        );
        assert_eq!(plan.by_hand.len(), 4);
        assert!(!plan.is_done());
    }

    #[test]
    fn nothing_to_do_is_done() {
        let plan = Plan::new(BTreeSet::new(), &[]);
        assert!(plan.is_done());
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_line() {
        let error = patterns("a.service\nb[.service\n").expect_err("a bad pattern");
        assert!(error.to_string().contains("never-restart:2: "), "{error}");
    }
}
