//! apt's hooks, run by hand, and the agent that does their work.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use rousr_figures::preserve::Cost;

use crate::{Background, wait};

/// A running agent; ended on drop.
pub(super) struct Agent(Background);

impl Agent {
    /// Starts it, and waits until it listens.
    pub(super) fn start() -> anyhow::Result<Self> {
        let agent = Background::agent().context("cannot start rousr")?;
        wait(Duration::from_secs(60), "the agent listens", || {
            Path::new("/run/rousr/control.sock").exists()
        });
        Ok(Self(agent))
    }

    /// What it and the hook that asks it take for `work`.
    pub(super) fn cost_of(
        &self,
        files: usize,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Cost> {
        let (began, busy) = (Instant::now(), self.processor()?);
        work()?;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        Ok(Cost {
            files: files as u64,
            wall: milliseconds(began.elapsed()),
            processor: milliseconds(self.processor()?.saturating_sub(busy)),
        })
    }

    /// The agent's processor time, and that of all hooks that have ended.
    fn processor(&self) -> anyhow::Result<Duration> {
        // The first number is what the scheduler counts, in nanoseconds.
        let file = format!("/proc/{}/schedstat", self.0.pid());
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let first = text.split_whitespace().next().unwrap_or_default();
        let own = Duration::from_nanos(first.parse().with_context(|| file)?);
        let hooks = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let of = |time: nix::sys::time::TimeVal| {
            Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec() as u32 * 1000)
        };
        Ok(own + of(hooks.user_time()) + of(hooks.system_time()))
    }

    /// Its largest resident set, in KiB.
    pub(super) fn peak(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(number.context("no VmHWM in its status")?.parse()?)
    }
}

/// Runs a hook, to which apt would tell `stream`.
pub(super) fn run(hook: &str, stream: &[u8]) -> anyhow::Result<()> {
    let mut hook = Command::new("rousr")
        .args(["apt", hook])
        .env_remove("APT_HOOK_INFO_FD")
        .stdin(Stdio::piped())
        // The figures go there.
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start rousr")?;
    // Taken, so that it ends.
    let told = hook.stdin.take().context("has a stdin")?.write_all(stream);
    let ended = hook.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(
        ended.status.success(),
        "a hook ended with {}: {said}",
        ended.status
    );
    match told {
        // Not every hook reads what it is told.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The largest resident set of a process that this one has waited for, in KiB: all are hooks and tools
/// smaller than these.
pub(super) fn peak() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss().unsigned_abs())
}
