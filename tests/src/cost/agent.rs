//! rousr's agent, started by hand in a guest without an init.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{Background, status};

/// A running agent; ended on drop.
pub(super) struct Agent {
    _process: Background,
}

impl Agent {
    /// Starts it, and waits until its programs are attached, as something is held, or are not.
    pub(super) fn start(attached: bool) -> anyhow::Result<Self> {
        let agent = Self {
            _process: Background::agent().context("cannot start rousr")?,
        };
        agent.wait_until(attached)?;
        Ok(agent)
    }

    /// Waits until its programs are attached, or no longer.
    pub(super) fn wait_until(&self, attached: bool) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            thread::sleep(Duration::from_secs(1));
            if !fs::exists("/run/rousr/control.sock")? {
                continue;
            }
            let agent = &status()["agent"];
            ensure!(agent["tracker"] == "bpf", "no exact tracker: {agent:#}");
            if agent["attached"] == attached {
                // What it has still to do by itself.
                thread::sleep(Duration::from_secs(10));
                return Ok(());
            }
        }
        bail!(
            "the agent's programs are not {}:\n{}",
            if attached { "attached" } else { "detached" },
            fs::read_to_string("/run/agent.log").unwrap_or_default()
        )
    }
}
