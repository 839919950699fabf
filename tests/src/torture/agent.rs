//! The agent under test: its unit, its death, its figures.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    FOLDER,
    judge::{Counts, counted, verified},
};

const UNIT: &str = "rousr.service";
const METRICS: &str = "/run/rousr/metrics.sock";

/// How long the agent may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the agent anew: it may be killed as often as one likes, and writes its log to a file.
pub(super) fn start(ring_bytes: Option<u32>) -> Result<()> {
    let folder = format!("/run/systemd/system/{UNIT}.d");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {folder}"))?;
    let ring = ring_bytes.map_or_else(String::new, |bytes| {
        format!("ExecStart=\nExecStart=/usr/sbin/rousr agent --ring-bytes {bytes}\n")
    });
    let lines = format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nStandardError=append:{}\n{ring}",
        log_path()
    );
    fs::write(format!("{folder}/torture.conf"), lines)?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["restart", UNIT])?;
    Ok(())
}

/// A life of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(Pid);

impl Life {
    /// Waits until the agent is ready, in a life other than `last`.
    pub(super) fn after(last: Option<Self>) -> Result<Self> {
        let end = Instant::now() + PATIENCE;
        loop {
            let state = systemctl(&["show", "-P", "ActiveState", "-P", "MainPID", UNIT])?;
            match parse_state(&state) {
                State::Ready(life) if Some(life) != last => return Ok(life),
                State::Failed => bail!("the agent does not start; its log:\n{}", log()?),
                _ => ensure!(
                    Instant::now() < end,
                    "the agent is not ready within {PATIENCE:?}: {state}; its log:\n{}",
                    log()?
                ),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it with SIGKILL; systemd begins another.
    pub(super) fn kill(self) -> Result<()> {
        kill_process(self.0, Signal::KILL).context("cannot kill the agent")
    }
}

enum State {
    Ready(Life),
    Failed,
    Between,
}

/// Reads the values of ActiveState and MainPID, in whatever order.
fn parse_state(values: &str) -> State {
    let pid = values
        .lines()
        .find_map(|line| Pid::from_raw(line.parse().ok()?));
    match (values, pid) {
        (values, Some(pid)) if values.lines().any(|line| line == "active") => {
            State::Ready(Life(pid))
        }
        (values, _) if values.lines().any(|line| line == "failed") => State::Failed,
        _ => State::Between,
    }
}

/// rousr's own counts, as `rousr status --json` has them: it looks at nothing and repairs nothing.
pub(super) fn counts() -> Result<Counts> {
    let output = rousr(&["status", "--json"])?;
    counted(&output.stdout).with_context(|| said(&output))
}

/// The kernel's counts, by `rousr verify --json`. It exits with 1 where it finds a difference itself,
/// and puts that right.
pub(super) fn kernel_counts() -> Result<Counts> {
    let output = rousr(&["verify", "--json"])?;
    verified(&output.stdout).with_context(|| said(&output))
}

fn rousr(arguments: &[&str]) -> Result<Output> {
    Command::new("/usr/sbin/rousr")
        .args(arguments)
        .output()
        .context("cannot run rousr")
}

/// What it wrote since the start, in all its lives.
pub(super) fn log() -> Result<String> {
    let path = log_path();
    fs::read_to_string(&path).with_context(|| path)
}

fn log_path() -> String {
    format!("{FOLDER}/agent.log")
}

/// Its metrics in the text format of Prometheus.
pub(super) fn metrics() -> Result<String> {
    let mut socket = UnixStream::connect(METRICS).with_context(|| METRICS)?;
    socket.write_all(b"GET /metrics HTTP/1.0\r\nHost: rousr\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

fn systemctl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("systemctl")
        .args(arguments)
        .output()
        .context("cannot run systemctl")?;
    ensure!(
        output.status.success(),
        "systemctl {arguments:?}: {}",
        said(&output)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn said(output: &Output) -> String {
    format!(
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systemd_shows() {
        let ready = |values| match parse_state(values) {
            State::Ready(Life(pid)) => Some(pid.as_raw_nonzero().get()),
            State::Failed | State::Between => None,
        };
        assert_eq!(ready("active\n\n231\n"), Some(231));
        assert_eq!(ready("231\n\nactive\n"), Some(231));
        assert_eq!(ready("activating\n\n231\n"), None);
        assert_eq!(ready("active\n\n0\n"), None);
        assert!(matches!(parse_state("failed\n\n0\n"), State::Failed));
        assert!(matches!(parse_state("activating\n\n0\n"), State::Between));
    }
}
