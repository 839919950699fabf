//! `rousr restart`.

use std::{
    fmt,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Args;

use super::{
    output::{self, need_root},
    status,
};
use crate::agent::{
    names::visible,
    restart::{NEVER, Plan, Step, never},
};

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

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    need_root("restart units")?;
    ensure!(
        !arguments.json || arguments.yes || arguments.dry_run,
        "--json cannot ask: add --yes or --dry-run"
    );
    let never = never(Path::new(NEVER))?;
    let mut plan = Plan::new(status::ask()?.remedies(), &never);
    if !arguments.json {
        output::show(false, &plan, || View(&plan).to_string())?;
    }
    let goes_on = !arguments.dry_run
        && !plan.restarts.is_empty()
        && (arguments.yes || is_wanted(plan.restarts.len())?);
    if goes_on {
        plan.carry_out(|step| {
            if !arguments.json {
                output::note(&step.command);
            }
        });
        tell_failed(&plan.restarts);
    }
    if arguments.json {
        output::show(true, &plan, String::new)?;
    }
    Ok(output::exit(plan.is_done()))
}

fn tell_failed(steps: &[Step]) {
    for step in steps.iter().filter(|step| step.succeeded == Some(false)) {
        output::note(&format!("`{}` failed; see the journal", step.command));
    }
}

struct View<'p>(&'p Plan);

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { restarts, by_hand } = self.0;
        if restarts.is_empty() && by_hand.is_empty() {
            return writeln!(f, "nothing uses replaced files");
        }
        for step in restarts {
            writeln!(f, "{}", step.command)?;
        }
        if !by_hand.is_empty() {
            writeln!(f, "left to you:")?;
        }
        for remedy in by_hand {
            writeln!(f, "  {}", visible(&remedy.to_string()))?;
        }
        Ok(())
    }
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::agent::remedy::Remedy;

    #[test]
    fn what_is_done_stands_before_what_is_left() {
        let view = |remedies: &[Remedy]| {
            let remedies: BTreeSet<Remedy> = remedies.iter().cloned().collect();
            View(&Plan::new(remedies, &[])).to_string()
        };
        assert_eq!(view(&[]), "nothing uses replaced files\n");
        assert_eq!(
            view(&[Remedy::End { pid: 7 }, Remedy::Reexecute { user: None }]),
            "systemctl daemon-reexec\nleft to you:\n  kill 7\n"
        );
    }
}
