//! What commands print on standard output.

use std::io::{self, Write};

use anyhow::Context as _;
use serde::Serialize;

/// Prints a view, in colours only on a terminal. A reader that went away, as of `| head`, wants no more:
/// no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    write(anstream::stdout(), text.as_bytes())
}

/// Prints what is to be read by programs, as it is.
pub(super) fn print_raw(bytes: &[u8]) -> anyhow::Result<()> {
    write(io::stdout().lock(), bytes)
}

/// One JSON object for programs, laid out for people.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn write(mut output: impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
