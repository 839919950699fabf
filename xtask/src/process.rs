//! Other programs: run to their end, their output kept for the error message.

use std::env;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// How much of a failed program's output its error shows.
const TAIL_LINES: usize = 20;

/// Runs `command` with no input; its stdout, or an error with the tail of what it said.
pub(crate) fn read(command: &mut Command) -> Result<Vec<u8>> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!("no such program"),
            _ => error.into(),
        })
        .with_context(|| format!("cannot run {}", name(command)))?;
    if status.success() {
        return Ok(stdout);
    }
    let said = if stderr.is_empty() { &stdout } else { &stderr };
    bail!(
        "{} ended with {status}:\n{}",
        name(command),
        tail(said, TAIL_LINES)
    )
}

/// Like [`read`], for text.
pub(crate) fn read_text(command: &mut Command) -> Result<String> {
    let stdout = read(command)?;
    String::from_utf8(stdout).with_context(|| format!("{} wrote no UTF-8", name(command)))
}

/// Where `program` is on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    // An administrator's programs, even where PATH is a user's.
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The last `lines` lines of `text`.
pub(crate) fn tail(text: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
