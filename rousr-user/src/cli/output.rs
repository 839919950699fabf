//! What commands print.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::agent::names::visible;

/// Prints a view, in colours only on a terminal, or one JSON object for programs, laid out for people.
pub(super) fn show(
    json: bool,
    value: &impl Serialize,
    view: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if json {
        return print_raw((serde_json::to_string_pretty(value)? + "\n").as_bytes());
    }
    write(anstream::stdout(), view().as_bytes())
}

/// Prints what is to be read by programs, as it is.
pub(super) fn print_raw(bytes: &[u8]) -> anyhow::Result<()> {
    write(io::stdout().lock(), bytes)
}

/// The exit status of a command that tells whether something is as it should be.
pub(super) fn exit(well: bool) -> ExitCode {
    match well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Says something on standard error. Whether anybody reads that is no reason to stop: a hook has work
/// to do.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "rousr: {text}");
}

/// Says that something is amiss.
pub(super) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// Says all that is amiss.
pub(super) fn warn_of(warnings: &[String]) {
    for warning in warnings {
        warn(&visible(warning));
    }
}

/// Says what to do about an error that another user than root meets.
pub(super) fn as_root(error: impl Into<anyhow::Error>) -> anyhow::Error {
    match rustix::process::geteuid().is_root() {
        true => error.into(),
        false => error.into().context("run it as root"),
    }
}

/// Refuses what only root can do.
pub(super) fn need_root(what: &str) -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "only root can {what}; run it with sudo"
    );
    Ok(())
}

/// A reader that went away, as of `| head`, wants no more: no error.
fn write(mut output: impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
