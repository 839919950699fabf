//! `rousr status`.

use std::{fmt::Write as _, io, process::ExitCode};

use clap::Args;

use super::{
    blocking::{write_blockers, write_elsewhere, write_holders},
    output::{self, as_root},
};
use crate::{
    agent::{
        client::{Client, ClientError},
        names::visible,
        status::{AgentStatus, HoldStatus, Status},
    },
    seal::{Level, wanted::Source},
    track::{
        kernel_side,
        survey::{Survey, Surveyor},
    },
    transaction::{HostKeeper, Places},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let status = ask()?;
    output::show(arguments.json, &status, || view(&status))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn ask() -> anyhow::Result<Status> {
    match Client::default().status() {
        Err(ClientError::NotRunning) => look_ourselves(),
        answer => Ok(answer?),
    }
}

fn look_ourselves() -> anyhow::Result<Status> {
    let keeper = HostKeeper::open(Places::default())?;
    let mut status = Status::collect(&keeper, None, |_| None).map_err(as_root)?;
    status.add_elsewhere(keeper.seal().writable_elsewhere());
    status.add(survey(&keeper), kernel_side::uses(keeper.volume()));
    for other in keeper.beside()? {
        let state = Status::collect(&other, None, |_| None);
        status.add_beside(state, survey(&other), kernel_side::uses(other.volume()));
    }
    Ok(status)
}

fn survey(keeper: &HostKeeper) -> io::Result<Survey> {
    Surveyor::new(&keeper.volume().mount_point, None)?.survey()
}

fn view(status: &Status) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_view(&mut text, status);
    text
}

fn write_view(text: &mut String, status: &Status) -> std::fmt::Result {
    let Status {
        mount_point,
        filesystem,
        source,
        level,
        wanted,
        wanted_by,
        ..
    } = status;
    writeln!(
        text,
        "{mount_point} ({filesystem} on {source}) is {level}{}",
        expectation(*level, *wanted, *wanted_by)
    )?;
    if *wanted == Level::Open {
        writeln!(
            text,
            "nothing here is wanted read-only: rousr only tracks and reaps"
        )?;
    }
    write_limits(text, status)?;
    for opening in &status.openings {
        writeln!(text, "it is open for {}", opening.opener)?;
    }
    writeln!(text, "{}", agent_line(status.agent.as_ref()))?;
    if status.holds.is_empty() {
        writeln!(text, "no holds: no replaced file is in use")?;
    } else {
        writeln!(
            text,
            "\n{}, {}:",
            number(status.holds.len() as u64, "hold"),
            size(status.bytes())
        )?;
        for hold in &status.holds {
            write_hold(text, hold)?;
        }
    }
    if !status.blockers.is_empty() {
        text.push('\n');
        write_blockers(text, &status.blockers)?;
    }
    write!(text, "{}", status.orphans)?;
    write_elsewhere(text, status)?;
    for other in &status.beside {
        text.push('\n');
        write_view(text, other)?;
    }
    for warning in &status.warnings {
        writeln!(text, "\nwarning: {}", visible(warning))?;
    }
    Ok(())
}

/// What it can be at most, and whether it can be opened at all.
fn write_limits(text: &mut String, status: &Status) -> std::fmt::Result {
    if status.reachable < Level::Sealed {
        writeln!(
            text,
            "{} is the most it can be, since its filesystem is writable for others ({})",
            status.reachable,
            visible(&status.shared_with.join(", "))
        )?;
    }
    if let Some(frozen) = &status.frozen {
        writeln!(text, "it can never be made writable: {frozen}")?;
    }
    Ok(())
}

fn expectation(level: Level, wanted: Level, by: Source) -> String {
    match (level, wanted) {
        (Level::Open, Level::Open) => format!(", {by}"),
        (level, wanted) if level >= wanted => format!(", as wanted {by}"),
        (_, wanted) => format!(", wanted is {wanted} {by}"),
    }
}

fn agent_line(agent: Option<&AgentStatus>) -> String {
    let Some(agent) = agent else {
        return "the agent is not running: holds go at the next transaction only; \
                start it with `systemctl start rousr`"
            .to_owned();
    };
    let AgentStatus {
        pid,
        watched,
        hooks,
        ..
    } = agent;
    let watched = number(*watched as u64, "inode");
    let losses = match agent.losses.values().sum() {
        0_u64 => String::new(),
        lost => format!(", {lost} events lost and answered by asking the kernel"),
    };
    let missing = agent.missing.as_deref().unwrap_or_default();
    match agent.tracker.as_str() {
        "bpf" => {
            let attached = if agent.attached {
                "attached"
            } else {
                "not attached, as nothing is watched"
            };
            format!(
                "the agent (pid {pid}) counts exactly: BPF programs ({hooks}) {attached}, {watched} watched{losses}"
            )
        }
        "fanotify" => format!(
            "the agent (pid {pid}) is told of closes by fanotify, {watched} watched{losses}; {missing}"
        ),
        _ => format!(
            "the agent (pid {pid}) has no tracker, holds go at the next transaction only: {missing}"
        ),
    }
}

/// With the noun as it goes with the number.
fn number(of: u64, what: &str) -> String {
    match of {
        1 => format!("1 {what}"),
        _ => format!("{of} {what}s"),
    }
}

fn write_hold(text: &mut String, hold: &HoldStatus) -> std::fmt::Result {
    let path = hold.path.as_deref().unwrap_or("(unknown path)");
    write!(text, "  {}  {}", visible(path), size(hold.bytes))?;
    if let (Some(package), Some(old)) = (&hold.package, &hold.old_version) {
        let new = hold.new_version.as_deref().unwrap_or("removed");
        write!(text, "  {package} {old} -> {new}")?;
    }
    writeln!(text)?;
    if hold.holders.is_empty() {
        writeln!(text, "      in use by nothing that a process shows")?;
    }
    write_holders(text, &hold.holders)
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_told_with_what_is_wanted_and_who_says_so() {
        let by_fstab = Source::Fstab { line: 3 };
        let table = [
            (
                Level::Sealed,
                Level::Sealed,
                by_fstab,
                ", as wanted by line 3 of /etc/fstab",
            ),
            (
                Level::Sealed,
                Level::MountSealed,
                Source::Found,
                ", as wanted as it was found",
            ),
            (
                Level::MountSealed,
                Level::Sealed,
                Source::Before,
                ", wanted is sealed as before it was made writable",
            ),
            (
                Level::Open,
                Level::Open,
                Source::Nobody,
                ", as nothing says otherwise",
            ),
            (
                Level::Open,
                Level::Open,
                Source::Configuration,
                ", by /etc/rousr/rousr.conf",
            ),
        ];
        for (level, wanted, by, told) in table {
            assert_eq!(expectation(level, wanted, by), told);
        }
    }

    #[test]
    fn the_tracker_is_told_with_what_it_misses() {
        let agent = |tracker: &str, missing: Option<&str>| AgentStatus {
            pid: 7,
            tracker: tracker.into(),
            attached: false,
            watched: 2,
            losses: [("ring-full".to_owned(), 1)].into(),
            hooks: "lsm".into(),
            pinned: false,
            releases: 0,
            resyncs: 0,
            corrections: 0,
            missing: missing.map(Into::into),
        };
        let table = [
            (agent("bpf", None), ["counts exactly", "1 events lost"]),
            (
                agent("fanotify", Some("inexact")),
                ["by fanotify", "inexact"],
            ),
            (
                agent("none", Some("no BPF")),
                ["next transaction", "no BPF"],
            ),
        ];
        for (agent, told) in table {
            let line = agent_line(Some(&agent));
            assert!(told.iter().all(|part| line.contains(part)), "{line}");
        }
        assert!(agent_line(None).contains("systemctl start rousr"));
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
