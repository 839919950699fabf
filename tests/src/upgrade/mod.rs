//! A whole upgrade of the guest beside who uses what it replaces, and the restarts after it.
//!
//! The guest's runner and this program run outside of /usr (`cargo xtask upgrade` sees to it): neither is among those who use it.

mod act;
mod ground;
mod release;

use std::process::ExitCode;

use anyhow::Result;
use rousr_figures::upgrade::{Line, Report, Task};

use crate::task::{self, say};

/// Does what the only argument, a task as JSON, asks for.
pub fn main(arguments: &[String]) -> ExitCode {
    task::main(arguments, |task: Task| run(&task))
}

fn run(task: &Task) -> Result<()> {
    let mut report = Report::default();
    tell("preparing those who use what is replaced")?;
    let changes = ground::prepare()?;
    tell(&format!("upgrading {} packages", changes.len()))?;
    act::play(task.frontend, &changes, &mut report)?;
    tell(&format!(
        "exit {} after {} s, {}, {} holds; restarting",
        report.status, report.seconds, report.level, report.holds
    ))?;
    release::play(&mut report)?;
    say(&Line::Report(report.into()))
}

fn tell(text: &str) -> Result<()> {
    say(&Line::Progress(text.to_owned()))
}
