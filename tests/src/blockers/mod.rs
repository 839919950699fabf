//! What blocks a seal, planted in every way; who finds it, and at what cost.

mod cost;
mod ground;
mod judge;
mod peers;
mod plant;

use std::path::Path;

use rousr_figures::blockers::{Planted, Report};

use judge::Told;
use peers::Peers;
use plant::PLANTS;

/// Plants all, looks for them, and measures with the empty iterators in `floor`, if there are some.
///
/// # Errors
///
/// Fails where something cannot be planted, or the guest lacks what measures.
pub fn run(floor: Option<&Path>) -> anyhow::Result<Report> {
    ground::plant()?;
    let told = Told::ask()?;
    let peers = Peers::ask();
    let plants = PLANTS.iter().map(|plant| Planted {
        what: plant.what.to_owned(),
        told: told.about(plant),
        lsof: peers.lsof_shows(plant),
        fuser: peers.fuser_lists(plant),
        needrestart: peers.needrestart_names(plant),
    });
    let (counted, shown) = told.orphans()?;
    let mut report = Report {
        plants: plants.collect(),
        counted,
        shown,
        listed: peers.listed(),
        processes: 0,
        rows: Vec::new(),
    };
    if let Some(floor) = floor {
        (report.processes, report.rows) = cost::measure(floor)?;
    }
    Ok(report)
}
