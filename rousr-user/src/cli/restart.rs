//! `rousr restart`.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use glob::Pattern;
use serde::Serialize;

use super::{
    output::{self, need_root},
    status,
};
use crate::agent::{names::visible, remedy::Remedy};

/// Restart what uses replaced files
///
/// Units that use what is held, or keep the filesystem of /usr from going read-only, are restarted, and
/// systemd executes itself anew. The message bus, login and display managers, terminals and what
/// /etc/rousr/never-restart names are left alone, as is what has no unit.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 nothing is left to do, 1 something is, or the command failed, \
    2 wrong arguments."
)]
pub(super) struct Arguments {
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Print one JSON object instead of text; with --yes or --dry-run
    #[arg(long)]
    json: bool,
}

/// Units to leave alone besides [`ALWAYS`]: one pattern a line, `#` begins a comment.
const NEVER: &str = "/etc/rousr/never-restart";

/// A restart of these ends sessions, or what somebody types.
const ALWAYS: [&str; 5] = [
    "getty@*.service",
    "serial-getty@*.service",
    "console-getty.service",
    "user@*.service",
    "*dm.service",
];

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    need_root("restart units")?;
    ensure!(
        !arguments.json || arguments.yes || arguments.dry_run,
        "--json cannot ask: add --yes or --dry-run"
    );
    let never = never(Path::new(NEVER))?;
    let mut plan = Plan::new(status::ask()?.remedies(), &never);
    if !arguments.json {
        output::show(false, &plan, || plan.to_string())?;
    }
    let goes_on = !arguments.dry_run
        && !plan.restarts.is_empty()
        && (arguments.yes || is_wanted(plan.restarts.len())?);
    if goes_on {
        plan.carry_out(arguments.json);
    }
    if arguments.json {
        output::show(true, &plan, String::new)?;
    }
    Ok(match plan.is_done() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What is done, in this order, and what is left to people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    restarts: Vec<Step>,
    by_hand: Vec<Remedy>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    remedy: Remedy,
    command: String,
    /// Null where it was not tried.
    succeeded: Option<bool>,
}

impl Plan {
    fn new(remedies: BTreeSet<Remedy>, never: &[Pattern]) -> Self {
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

    fn carry_out(&mut self, silently: bool) {
        for step in &mut self.restarts {
            if !silently {
                output::note(&step.command);
            }
            let succeeded = match &step.remedy.command()[..] {
                [program, arguments @ ..] => Command::new(program)
                    .args(arguments)
                    .status()
                    .is_ok_and(|status| status.success()),
                [] => false,
            };
            if !succeeded {
                output::note(&format!("`{}` failed; see the journal", step.command));
            }
            step.succeeded = Some(succeeded);
        }
    }

    fn is_done(&self) -> bool {
        self.by_hand.is_empty()
            && self
                .restarts
                .iter()
                .all(|step| step.succeeded == Some(true))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.restarts.is_empty() && self.by_hand.is_empty() {
            return writeln!(f, "nothing uses replaced files");
        }
        for step in &self.restarts {
            writeln!(f, "{}", step.command)?;
        }
        if !self.by_hand.is_empty() {
            writeln!(f, "left to you:")?;
        }
        for remedy in &self.by_hand {
            writeln!(f, "  {}", visible(&remedy.to_string()))?;
        }
        Ok(())
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

fn never(file: &Path) -> anyhow::Result<Vec<Pattern>> {
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

fn is_wanted(count: usize) -> anyhow::Result<bool> {
    ensure!(
        io::stdin().is_terminal(),
        "nobody can be asked: add --yes, or --dry-run to see what would be done"
    );
    let mut terminal = io::stderr();
    write!(terminal, "Do these {count}? [y/N] ").context("cannot ask")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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
            restart("sddm.service", None),
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
        assert_eq!(plan.by_hand.len(), 5);
        assert!(!plan.is_done());
        let text = plan.to_string();
        assert!(text.contains("left to you:\n"), "{text}");
    }

    #[test]
    fn nothing_to_do_is_done() {
        let plan = Plan::new(BTreeSet::new(), &[]);
        assert!(plan.is_done());
        assert_eq!(plan.to_string(), "nothing uses replaced files\n");
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_line() {
        let error = patterns("a.service\nb[.service\n").expect_err("a bad pattern");
        assert!(error.to_string().contains("never-restart:2: "), "{error}");
    }
}
