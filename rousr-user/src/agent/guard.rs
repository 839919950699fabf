//! A guard: an agent for as long as somebody has /usr open, where no other agent runs.
//!
//! It is started by whoever opens /usr and finds no agent, and by an agent's end while /usr is open. An agent
//! that starts takes its place.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::program::PROGRAM;
use crate::{
    seal::Level,
    sys::process::{Signal, send},
    transaction::{Opener, Outcome},
};

/// The option that makes an agent a guard.
pub(super) const OPTION: &str = "--guard";

/// Its transient unit.
const UNIT: &str = "rousr-guard.service";

/// Whether an end is to come that somebody has to look out for.
pub fn is_needed(outcome: &Outcome) -> bool {
    let ends_by_itself = |opener: &Opener| *opener != Opener::Administrator { until: None };
    match outcome.open_for.is_empty() {
        true => outcome.level < outcome.wanted,
        false => outcome.wanted > Level::Open && outcome.open_for.iter().any(ends_by_itself),
    }
}

/// Starts one beside this process, which it outlives. Nothing happens where one is there.
///
/// # Errors
///
/// Fails where it cannot be started: /usr is sealed by the next agent then.
pub fn start() -> anyhow::Result<()> {
    let mut command = match is_systemd_running() {
        true => unit(),
        false => session(),
    };
    let command = command.stdin(Stdio::null());
    let finished = command.output().context("cannot run what starts a guard")?;
    ensure!(
        finished.status.success() || is_unit_active(),
        "no guard can be started: {}",
        String::from_utf8_lossy(&finished.stderr).trim_end()
    );
    Ok(())
}

/// Source: sd_booted(3).
fn is_systemd_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The manager has it: it ends neither with apt's session nor with the agent's control group.
fn unit() -> Command {
    let mut command = Command::new("systemd-run");
    command
        .args(["--quiet", "--no-block", "--collect", "--unit", UNIT])
        .args([
            "--description",
            "Make /usr read-only when its upgrade is over",
        ])
        .args(["--property", "LimitNOFILE=524288"])
        .args(["--property", "Restart=on-failure"])
        .args([PROGRAM, "agent", OPTION]);
    command
}

/// Without a manager: a session of its own, whose parent ends at once.
fn session() -> Command {
    let mut command = Command::new("setsid");
    command.args(["--fork", PROGRAM, "agent", OPTION]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn is_unit_active() -> bool {
    let mut active = Command::new("systemctl");
    active.args(["--quiet", "is-active", UNIT]);
    active.status().is_ok_and(|status| status.success())
}

/// Has the process end if it is a guard, and tells whether it is one.
pub(super) fn dismiss(pid: u32) -> bool {
    // It may have ended meanwhile.
    duty(&arguments(pid)) == Some(Duty::Guard) && send(pid, Signal::TERM).is_ok()
}

/// Whether the process is an agent that stays, and no hook that does the work of one.
pub(super) fn is_agent(pid: u32) -> bool {
    duty(&arguments(pid)) == Some(Duty::Agent)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Duty {
    Agent,
    Guard,
}

fn arguments(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// By the content of /proc/PID/cmdline.
fn duty(arguments: &[u8]) -> Option<Duty> {
    let mut arguments = arguments.split(|&byte| byte == 0).map(OsStr::from_bytes);
    let name = arguments.next().map(Path::new).and_then(Path::file_name);
    if name != Some(OsStr::new("rousr")) || arguments.next() != Some(OsStr::new("agent")) {
        return None;
    }
    Some(match arguments.any(|argument| argument == OPTION) {
        true => Duty::Guard,
        false => Duty::Agent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_arguments_tell_what_it_does() {
        for (arguments, expected) in [
            (&b"/usr/sbin/rousr\0agent\0--guard\0"[..], Some(Duty::Guard)),
            (
                b"rousr\0agent\0--ring-bytes\x004096\0--guard\0",
                Some(Duty::Guard),
            ),
            (b"/usr/sbin/rousr\0agent\0", Some(Duty::Agent)),
            (b"/usr/sbin/rousr\0apt\0post-invoke\0", None),
            (b"/bin/echo\0agent\0--guard\0", None),
            (b"", None),
        ] {
            assert_eq!(duty(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn it_is_needed_while_an_end_is_to_come() {
        let (open, mount, sealed) = (Level::Open, Level::MountSealed, Level::Sealed);
        let until = |until| Opener::Administrator { until };
        for (level, wanted, open_for, expected) in [
            (open, sealed, vec![Opener::Transaction], true),
            (open, sealed, vec![until(Some(7))], true),
            (open, sealed, vec![until(None)], false),
            (open, sealed, vec![until(None), Opener::Transaction], true),
            (open, open, vec![], false),
            (open, sealed, vec![], true),
            (mount, sealed, vec![], true),
            (mount, mount, vec![], false),
            (sealed, sealed, vec![], false),
        ] {
            let outcome = Outcome {
                level,
                wanted,
                open_for,
                preserved: 0,
                kept: 0,
                watched: false,
                reaped: 0,
                warnings: Vec::new(),
            };
            assert_eq!(is_needed(&outcome), expected, "{outcome:?}");
        }
    }
}
