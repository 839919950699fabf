//! `rousr exec`.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{self, ExitCode, ExitStatus},
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{
    opening::{self, NEED},
    output::{self, need_root},
};
use crate::{
    agent::{command, errand::Step},
    track::process::Process,
    transaction::Opener,
};

/// Run a command with /usr writable, and make it read-only again when the command ends
///
/// Files in use are kept as before an upgrade, so that replacing them does not block the seal.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: the command's own; 128 and more where a signal ended it, 126 where it \
    cannot be run, 127 where it is not found, 1 where /usr cannot be made writable, 2 wrong arguments."
)]
pub(super) struct Arguments {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    need_root(NEED)?;
    let [program, rest @ ..] = &arguments.command[..] else {
        bail!("no command");
    };
    let this = Process::read(process::id()).context("cannot look at this process")?;
    let opener = Opener::Command {
        pid: this.pid,
        started: this.started,
    };
    opening::run(Step::Open(opener))?;
    let ended = command::run(program, rest);
    // Whatever became of the command.
    match opening::run(Step::Close(opener)) {
        Ok(outcome) if outcome.level < outcome.wanted => output::note(&opening::text(&outcome)),
        Ok(_) => {}
        Err(error) => output::note(&format!(
            "/usr may still be writable: {error:#}; see `rousr status`"
        )),
    }
    Ok(match ended {
        Ok(status) => exit_code(status),
        Err(error) => {
            output::note(&format!("cannot run {}: {error}", program.display()));
            ExitCode::from(match error.kind() {
                io::ErrorKind::NotFound => 127,
                _ => 126,
            })
        }
    })
}

/// As a shell tells it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(u8::MAX))
}
