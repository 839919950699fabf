//! From a last close to the unlink of a hold. For a guest with systemd, as root, with rousr
//! installed and nothing held.

mod agent;
mod holds;
mod release;

use std::{path::Path, time::Duration};

use rousr_figures::latency::{Report, Series};

use crate::Background;
use agent::{Agent, Tracker};
use holds::{Holds, Usr};
use release::Releases;

/// Holds for each series by rousr.
const HOLDS: usize = 200;
/// Holds for the script, which takes seconds for each.
const SCRIPT_HOLDS: usize = 20;

/// Measures everything. `scripts` holds the script that polls.
///
/// # Errors
///
/// Fails where holds cannot be made or the agent does not start.
pub fn run(scripts: &Path) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for tracker in Tracker::ALL {
        for usr in [Usr::Sealed, Usr::Writable] {
            report.series.push(by_rousr(tracker, usr)?);
        }
    }
    report.series.push(by_script(scripts)?);
    Ok(report)
}

fn by_rousr(tracker: Tracker, usr: Usr) -> anyhow::Result<Series> {
    Agent::stop()?;
    let holds = Holds::make(HOLDS, usr)?;
    let releases = Releases::new(Duration::from_secs(2), Duration::ZERO)?;
    let agent = Agent::start(tracker, HOLDS)?;
    let outcome = releases.measure(holds, || usr.settled())?;
    Ok(Series {
        by: tracker.title().into(),
        usr: usr.name().into(),
        holds: HOLDS,
        missed: outcome.missed,
        unlink: outcome.latencies,
        verdict: agent.verdicts()?,
    })
}

fn by_script(scripts: &Path) -> anyhow::Result<Series> {
    Agent::stop()?;
    let holds = Holds::make(SCRIPT_HOLDS, Usr::Writable)?;
    let releases = Releases::new(Duration::from_secs(60), Duration::from_secs(2))?;
    let _script = Background::start(&format!("sh {}/fuser.sh", scripts.display()));
    let outcome = releases.measure(holds, || true)?;
    Ok(Series {
        by: "fuser, once a second".into(),
        usr: Usr::Writable.name().into(),
        holds: SCRIPT_HOLDS,
        missed: outcome.missed,
        unlink: outcome.latencies,
        verdict: Vec::new(),
    })
}
