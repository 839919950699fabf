//! What of rousr works on this machine: the kernel's features, the tracker that follows from them,
//! and the setting.
//!
//! Whether the kernel has a feature is found out by trying it, not by its version: distributions
//! backport, and a container or a lockdown refuses what the kernel has.

mod choice;
mod conflict;
mod feature;
mod lockdown;
mod probe;
mod setting;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::track::modules::Modules;

pub use choice::{Choice, Hooks, Kind};
pub use conflict::Conflict;
pub use feature::{Answer, Feature, Finding, Findings, State};
pub use probe::HostProbes;
pub use setting::{Agent, Check, Mounted, Setting, Verdict};

/// The kernel, asked about its features.
pub trait Probes {
    /// Its release, as uname(2) gives it.
    fn kernel(&self) -> String;

    /// Tries a feature.
    fn probe(&self, feature: Feature) -> Answer;

    /// The active security modules; `None` where they cannot be told.
    fn modules(&self) -> Option<&Modules>;
}

/// All that was found out. In JSON, names are in camelCase.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// Where the volume that holds /usr is mounted; absent where that cannot be told. What is not
    /// UTF-8 is replaced.
    pub volume: Option<String>,
    /// Each feature that rousr uses.
    pub features: Findings,
    /// What the agent would use.
    pub tracker: Choice,
    /// What else has to be right.
    pub checks: Vec<Check>,
    /// Whether nothing is lost, wrong or unknown.
    pub well: bool,
}

/// Puts it all together.
pub fn diagnose(probes: &impl Probes, setting: &Setting) -> Report {
    let features: Findings = Feature::ALL
        .into_iter()
        .map(|feature| Finding::new(feature, probes.probe(feature)))
        .collect();
    let features = features.without_needless();
    let tracker = choice::choose(&features, probes.modules());
    let checks = setting.judge(&tracker);
    let well = features.iter().all(|finding| finding.lost.is_none())
        && checks.iter().all(|check| check.verdict == Verdict::Well);
    Report {
        kernel: probes.kernel(),
        volume: setting.volume(),
        features,
        tracker,
        checks,
        well,
    }
}
