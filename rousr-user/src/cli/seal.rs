//! `rousr seal`, `rousr unseal` and `rousr exec`.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::process::{Pid, kill_process};
use serde::Serialize;
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
};

use super::output::{self, need_root};
use crate::{
    agent::errand::{self, Step},
    seal::Level,
    sys::clock::unix_seconds,
    track::process::Process,
    transaction::{Opener, Outcome},
};

/// Make /usr read-only again after `rousr unseal`
///
/// Also tries again where something was in the way. What a transaction or `rousr exec` has open stays
/// so until that is over.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 as read-only as wanted, 1 not, or nothing says that it is to be, 2 wrong arguments."
)]
pub(super) struct Seal {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Make /usr writable, until `rousr seal` or for some time
///
/// Files in use are kept as before an upgrade, so that replacing them does not block the seal.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 /usr is writable, 1 it is not, 2 wrong arguments.")]
pub(super) struct Unseal {
    /// Seal again after this time, such as 90s, 10m, 2h or 1d; the agent does it
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Run a command with /usr writable, and make it read-only again when the command ends
///
/// Files in use are kept as before an upgrade, so that replacing them does not block the seal.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: the command's own; 128 and more where a signal ended it, 126 where it \
    cannot be run, 127 where it is not found, 1 where /usr cannot be made writable, 2 wrong arguments."
)]
pub(super) struct Exec {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn seal(arguments: &Seal) -> anyhow::Result<ExitCode> {
    need_root("change whether /usr is writable")?;
    let outcome = run(Step::Close(Opener::Administrator { until: None }))?;
    show(&outcome, arguments.json)?;
    Ok(
        match outcome.level >= outcome.wanted && outcome.wanted > Level::Open {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
    )
}

pub(super) fn unseal(arguments: &Unseal) -> anyhow::Result<ExitCode> {
    need_root("change whether /usr is writable")?;
    let until = arguments.time.map(|time| unix_seconds() + time.as_secs());
    let outcome = run(Step::Open(Opener::Administrator { until }))?;
    show(&outcome, arguments.json)?;
    Ok(match outcome.level {
        Level::Open => ExitCode::SUCCESS,
        Level::MountSealed | Level::Sealed => ExitCode::FAILURE,
    })
}

pub(super) fn exec(arguments: &Exec) -> anyhow::Result<ExitCode> {
    need_root("change whether /usr is writable")?;
    let this = Process::read(std::process::id()).context("cannot look at this process")?;
    let opener = Opener::Command {
        pid: this.pid,
        started: this.started,
    };
    run(Step::Open(opener))?;
    let ended = run_command(&arguments.command);
    // Whatever became of the command.
    match run(Step::Close(opener)) {
        Ok(outcome) if outcome.level < outcome.wanted => output::note(&text(&outcome)),
        Ok(_) => {}
        Err(error) => output::note(&format!(
            "/usr may still be writable: {error:#}; see `rousr status`"
        )),
    }
    ended
}

/// With Ctrl-C and Ctrl-\ for the command alone, and what asks this process to end passed on to it.
fn run_command(command: &[OsString]) -> anyhow::Result<ExitCode> {
    let [program, arguments @ ..] = command else {
        bail!("no command");
    };
    let name = program.to_string_lossy();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")?;
    let _entered = runtime.enter();
    let signals = Signals::receive()?;
    let child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => {
            output::note(&format!("cannot run {name}: {error}"));
            return Ok(ExitCode::from(match error.kind() {
                io::ErrorKind::NotFound => 127,
                _ => 126,
            }));
        }
    };
    runtime
        .block_on(wait(child, signals))
        .with_context(|| format!("cannot wait for {name}"))
        .map(exit_code)
}

/// What would end this process before its command.
struct Signals {
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn receive() -> anyhow::Result<Self> {
        let receive = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            interrupt: receive(SignalKind::interrupt())?,
            quit: receive(SignalKind::quit())?,
            terminate: receive(SignalKind::terminate())?,
            hang_up: receive(SignalKind::hangup())?,
        })
    }
}

async fn wait(mut child: Child, mut signals: Signals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            // The terminal sends these two to the command as well.
            _ = signals.interrupt.recv() => {}
            _ = signals.quit.recv() => {}
            _ = signals.terminate.recv() => pass_on(&child, rustix::process::Signal::TERM),
            _ = signals.hang_up.recv() => pass_on(&child, rustix::process::Signal::HUP),
        }
    }
}

fn pass_on(child: &Child, signal: rustix::process::Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

/// As a shell tells it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(u8::MAX))
}

fn run(step: Step) -> anyhow::Result<Outcome> {
    let outcome = errand::run(&step, output::warn)?;
    output::warn_of(&outcome.warnings);
    Ok(outcome)
}

fn show(outcome: &Outcome, json: bool) -> anyhow::Result<()> {
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

fn text(outcome: &Outcome) -> String {
    if outcome.wanted == Level::Open {
        return "nothing says that /usr is to be read-only, so it is left as it is; add ro to its line in \
                /etc/fstab"
            .to_owned();
    }
    match (outcome.level, &outcome.open_for[..]) {
        (Level::Open, []) => "/usr is still writable; `rousr blockers` names what is in the way".into(),
        (Level::Open, openers) => {
            let openers: Vec<String> = openers.iter().map(ToString::to_string).collect();
            format!("/usr is writable for {}", openers.join(" and "))
        }
        (Level::MountSealed, _) if outcome.wanted > Level::MountSealed => {
            "/usr is read-only, its filesystem will be once nothing blocks that: see `rousr blockers`".into()
        }
        (Level::MountSealed | Level::Sealed, _) => "/usr is read-only".into(),
    }
}

/// A number with a unit, as in sleep(1).
fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
    let parsed = units.iter().find_map(|&(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    match parsed {
        Some(seconds @ 1..=MAX_SECONDS) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("it has to be from 1s to 3650d".to_owned()),
        None => Err("it has to be a number with a unit, as in 90s, 10m, 2h or 1d".to_owned()),
    }
}

/// Ten years.
const MAX_SECONDS: u64 = 3650 * 86400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("2h", Some(7200)),
            ("1d", Some(86400)),
            ("0s", None),
            ("10", None),
            ("m", None),
            ("-1s", None),
            ("1.5h", None),
            ("3651d", None),
            ("99999999999999999999d", None),
            ("999999999999999999d", None),
            ("", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }

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
