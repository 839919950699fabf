//! From a last close to the unlink of a hold. For a guest with systemd, as root, with rousr
//! installed and nothing held.

mod agent;
mod holds;
mod release;

use std::{path::Path, time::Duration};

use serde::Serialize;

use crate::Background;
use agent::{Agent, Tracker};
use holds::{Holds, Usr};
use release::Releases;

/// Holds for each series by rousr.
const HOLDS: usize = 200;
/// Holds for the script, which takes seconds for each.
const SCRIPT_HOLDS: usize = 20;

/// Everything measured in one guest.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One for each tool and state of /usr.
    pub series: Vec<Series>,
}

/// Last closes of holds, one after another.
#[derive(Debug, Serialize)]
pub struct Series {
    /// What removes the holds.
    pub by: &'static str,
    /// `sealed` or `writable`.
    pub usr: &'static str,
    /// Holds that were there at the beginning.
    pub holds: usize,
    /// Holds that were not removed in time.
    pub missed: usize,
    /// From just before the close to the news of the unlink, microseconds, as this program sees it.
    pub unlink: Vec<u64>,
    /// From the death of the file to the agent's verdict, microseconds, as the agent logs it.
    pub verdict: Vec<u64>,
}

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
        by: tracker.title(),
        usr: usr.name(),
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
        by: "fuser, once a second",
        usr: Usr::Writable.name(),
        holds: SCRIPT_HOLDS,
        missed: outcome.missed,
        unlink: outcome.latencies,
        verdict: Vec::new(),
    })
}
