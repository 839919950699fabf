//! The restarts, until nothing is held.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rousr_figures::upgrade::Report;
use serde_json::Value;

use super::{act::holders, ground::CLIENT};
use crate::{holds, look, shell};

/// How long the restarts may take, with the ends of those who are restarted.
const PATIENCE: Duration = Duration::from_secs(300);

/// `rousr restart`, a log out, and what these leave by hand; then looks at all.
pub(super) fn play(report: &mut Report) -> Result<()> {
    restart(report)?;
    log_out(report);
    let end = Instant::now() + PATIENCE;
    while !holds().is_empty() && Instant::now() < end {
        for unit in holders()? {
            let line = by_hand(&unit);
            shell(&line);
            if !report.by_hand.contains(&line) {
                report.by_hand.push(line);
            }
        }
        thread::sleep(Duration::from_secs(2));
    }
    report.left = holds().len() as u64;
    if report.left > 0 {
        let state = shell("rousr status").output;
        report.faults.push(format!("held for good:\n{state}"));
    }
    report.faults.extend(look::everything());
    Ok(())
}

fn restart(report: &mut Report) -> Result<()> {
    let told = shell("rousr restart --yes --json 2>/run/out/restart.log");
    fs::write("/run/out/restart.json", &told.output)?;
    let plan: Value = serde_json::from_str(&told.output).context("rousr restart")?;
    for step in plan["restarts"].as_array().context("restarts")? {
        if step["succeeded"] != true {
            report.faults.push(format!("rousr restart: {step}"));
        }
    }
    Ok(())
}

/// The one who is logged in goes; so does that user's manager, which has nobody to serve.
fn log_out(report: &mut Report) {
    let line = format!("systemctl stop {CLIENT}");
    shell(&line);
    report.by_hand.push(line);
}

fn by_hand(unit: &str) -> String {
    match unit.strip_suffix(".scope") {
        Some("init") => "systemctl daemon-reexec".to_owned(),
        Some(scope) => match scope.strip_prefix("session-") {
            Some(session) => format!("loginctl terminate-session {session}"),
            None => format!("systemctl stop {unit}"),
        },
        None if unit.starts_with("user@") => format!("systemctl stop {unit}"),
        None => format!("systemctl restart {unit}"),
    }
}
