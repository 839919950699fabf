//! The two halves of a power cut: what is written before it, and what is left after it.

mod judge;
mod record;

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rousr_figures::powercut::{Line, Task};

use crate::{
    holds, is_sealed,
    task::{self, must, say},
};

/// Does what the only argument, a task as JSON, asks for.
pub fn main(arguments: &[String]) -> ExitCode {
    task::main(arguments, run)
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Record { with_rousr } => record::run(with_rousr),
        Task::Judge { with_rousr } => say(&Line::Findings(judge::run(with_rousr)?)),
    }
}

/// The upgrade that is cut short, with a further option of apt's.
fn upgrade(option: &str) -> String {
    format!(
        "apt-get -y -q {option} install libssl3t64 openssl openssl-provider-legacy \
         /run/share/rousr-demo_2.0_*.deb"
    )
}

/// Restarts whoever still uses what was replaced.
fn release_all() -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    must("systemctl daemon-reexec")?;
    while !(holds().is_empty() && is_sealed()) {
        ensure!(
            Instant::now() < end,
            "holds are left: {}",
            crate::shell("rousr status").output
        );
        crate::shell("rousr restart --yes");
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
