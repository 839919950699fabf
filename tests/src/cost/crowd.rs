//! Many processes at once on one file.

use std::{
    env,
    ffi::{CStr, CString},
    io::{self, Read as _, Write as _, stdin, stdout},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

use super::pairs::{median, now, repeat};

const PROCESSES: u64 = 16;
const PAIRS: u64 = 2000;
const ROUNDS: usize = 7;

/// Instructions per pair where sixteen processes open and close `path` at the same time, their
/// switches and the timer's ticks included: the median of some rounds.
pub(super) fn measure(path: &CStr) -> anyhow::Result<u64> {
    let mut totals = Vec::new();
    for _ in 0..ROUNDS {
        totals.push(round(path)?);
    }
    let pairs = PROCESSES * PAIRS;
    Ok((median(totals) + pairs / 2) / pairs)
}

/// What each of the processes does: waits for a byte, opens and closes, says so with a byte, and
/// waits for the end of its input, so that no process ends while others are measured.
///
/// # Errors
///
/// Fails where `path` cannot be opened or the parent is gone.
pub fn open_and_close(path: &str, pairs: u64) -> anyhow::Result<()> {
    let path = CString::new(path)?;
    let mut byte = [0];
    stdin().read_exact(&mut byte)?;
    repeat(&path, pairs).with_context(|| format!("cannot open {path:?}"))?;
    stdout().write_all(&byte)?;
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn round(path: &CStr) -> anyhow::Result<u64> {
    let mut children = (0..PROCESSES)
        .map(|_| start(path))
        .collect::<io::Result<Vec<_>>>()
        .context("cannot start a process")?;
    let began = now();
    for child in &mut children {
        let input = child.stdin.as_mut().context("no pipe to the process")?;
        input.write_all(b"g")?;
    }
    for child in &mut children {
        let output = child.stdout.as_mut().context("no pipe from the process")?;
        output.read_exact(&mut [0])?;
    }
    let ended = now();
    for mut child in children {
        drop(child.stdin.take());
        child.wait()?;
    }
    Ok(ended - began)
}

fn start(path: &CStr) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .arg("loop")
        .arg(path.to_str().map_err(io::Error::other)?)
        .arg(PAIRS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}
