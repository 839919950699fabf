//! rousr's agent as a service, with the tracker wanted.

use std::{fs, time::Duration};

use crate::{log, status, succeed, wait};

const DROP_IN: &str = "/run/systemd/system/rousr.service.d";

/// What tells the agent of closes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tracker {
    Bpf,
    Fanotify,
}

impl Tracker {
    pub(super) const ALL: [Self; 2] = [Self::Bpf, Self::Fanotify];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Bpf => "rousr",
            Self::Fanotify => "rousr, fanotify fallback",
        }
    }

    /// What makes the agent take it: it is the first that the kernel lets it have.
    fn unit(self) -> &'static str {
        match self {
            Self::Bpf => "",
            Self::Fanotify => "SystemCallFilter=~bpf\nSystemCallErrorNumber=EPERM\n",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Fanotify => "fanotify",
        }
    }
}

/// The service, started.
pub(super) struct Agent;

impl Agent {
    /// Stops it; holds stay, and what the kernel side keeps for a next agent goes.
    pub(super) fn stop() -> anyhow::Result<()> {
        succeed("systemctl stop rousr");
        succeed("rousr agent --detach-all");
        Ok(())
    }

    /// Starts it, and waits until it watches `holds` inodes.
    pub(super) fn start(tracker: Tracker, holds: usize) -> anyhow::Result<Self> {
        fs::create_dir_all(DROP_IN)?;
        fs::write(
            format!("{DROP_IN}/tracker.conf"),
            format!("[Service]\n{}", tracker.unit()),
        )?;
        // Each close is measured for itself, and two hundred soon after each other are churn.
        fs::create_dir_all("/etc/rousr")?;
        fs::write("/etc/rousr/rousr.conf", "window-pause = \"0s\"\n")?;
        succeed("systemctl daemon-reload; systemctl start rousr");
        wait(
            Duration::from_secs(60),
            "the agent watches every hold",
            || {
                let agent = &status()["agent"];
                agent["tracker"] == tracker.name() && agent["watched"] == holds
            },
        );
        Ok(Self)
    }

    /// What it logged as the time from a death to its verdict, in microseconds.
    pub(super) fn verdicts(&self) -> anyhow::Result<Vec<u64>> {
        let journal = succeed(
            "journalctl --sync; journalctl --no-pager -o cat \
             _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID rousr)",
        );
        Ok(log::of_reaps(&journal, "verdict_us"))
    }
}
