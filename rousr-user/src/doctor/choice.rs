//! Which tracker the agent would use, and why.

use serde::Serialize;

use super::feature::{Feature, Finding, Findings, State};
use crate::track::modules::Modules;

/// A tracker.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// BPF programs count exactly.
    Bpf,
    /// fanotify tells of closes.
    Fanotify,
    /// Holds go at the next transaction.
    None,
    /// Not all could be tried.
    Unknown,
}

impl Kind {
    /// The word for it, as the agent's status has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Fanotify => "fanotify",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// Where the BPF programs sit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Hooks {
    /// Security hooks, which are never skipped.
    Lsm,
    /// The entries of the functions that call them.
    Fentry,
}

impl Hooks {
    /// The word for them, as the agent's status has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
        }
    }

    /// What they are called in the kernel.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Lsm => "LSM file_open, file_free_security",
            Self::Fentry => "fentry security_file_open, security_file_free",
        }
    }
}

/// What the agent would use.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The tracker.
    pub tracker: Kind,
    /// Where its programs sit; absent where it has none.
    pub hooks: Option<Hooks>,
    /// Why this one.
    pub why: String,
    /// What is lost with it.
    pub lost: Option<&'static str>,
    /// What to do for a better one.
    pub next: Option<String>,
}

impl Choice {
    /// Whether an agent's tracker and hooks are at least as good. Where not all could be tried, any may
    /// be.
    pub(super) fn is_met_by(&self, tracker: &str, hooks: &str) -> bool {
        /// From the worst to the best.
        const RANKS: [(Kind, Option<Hooks>); 4] = [
            (Kind::None, None),
            (Kind::Fanotify, None),
            (Kind::Bpf, Some(Hooks::Fentry)),
            (Kind::Bpf, Some(Hooks::Lsm)),
        ];
        let chosen = RANKS
            .iter()
            .position(|&rank| rank == (self.tracker, self.hooks));
        let found = RANKS.iter().position(|(kind, of_kind)| {
            kind.as_str() == tracker && of_kind.is_none_or(|of_kind| of_kind.as_str() == hooks)
        });
        // An unknown choice has no rank.
        chosen <= found
    }

    /// As the agent tells its own.
    pub(super) fn describe(&self) -> String {
        match self.hooks {
            Some(hooks) => format!("{} ({})", self.tracker.as_str(), hooks.as_str()),
            None => self.tracker.as_str().to_owned(),
        }
    }
}

/// What the BPF tracker cannot do without, whichever hooks it has.
const FOR_BPF: [Feature; 5] = [
    Feature::Btf,
    Feature::Bpf,
    Feature::RingBuffer,
    Feature::FileIterator,
    Feature::MappingIterator,
];

pub(super) fn choose(findings: &Findings, modules: Option<&Modules>) -> Choice {
    // Where it cannot be told it is hardly there: it has to be asked for.
    let locked = findings
        .of(Feature::Lockdown)
        .filter(|lockdown| lockdown.state == State::Missing);
    if let Some(obstacle) = locked.or_else(|| obstacle(findings, &FOR_BPF)) {
        return without_bpf(findings, obstacle, explain(obstacle));
    }
    let Some(lsm) = obstacle(findings, &[Feature::BpfLsm]) else {
        let active = modules.map_or_else(String::new, |modules| format!(" ({modules})"));
        return Choice {
            tracker: Kind::Bpf,
            hooks: Some(Hooks::Lsm),
            why: format!("bpf is among the active security modules{active}"),
            lost: None,
            next: None,
        };
    };
    if lsm.state == State::Unknown {
        return unknown(lsm);
    }
    if let Some(fentry) = obstacle(findings, &[Feature::Fentry]) {
        let why = format!("{}; {}", explain(lsm), explain(fentry));
        return without_bpf(findings, fentry, why);
    }
    Choice {
        tracker: Kind::Bpf,
        hooks: Some(Hooks::Fentry),
        why: lsm.how.clone(),
        lost: Some(
            "fentry's programs are skipped where the kernel preempts one; \
             rousr notices, and counts anew",
        ),
        next: modules
            .filter(|modules| !modules.has("bpf"))
            .map(|modules| format!("boot with {}", modules.boot_option_with_bpf())),
    }
}

/// The first of `features` that is missing, else the first that is unknown.
fn obstacle<'f>(findings: &'f Findings, features: &[Feature]) -> Option<&'f Finding> {
    let with = |state| {
        features
            .iter()
            .filter_map(|&feature| findings.of(feature))
            .find(|finding| finding.state == state)
    };
    with(State::Missing).or_else(|| with(State::Unknown))
}

fn without_bpf(findings: &Findings, obstacle: &Finding, why: String) -> Choice {
    if obstacle.state == State::Unknown {
        return unknown(obstacle);
    }
    let next = Some(advice(obstacle.feature).to_owned());
    let fanotify = findings.of(Feature::Fanotify);
    if let Some(fanotify) = fanotify.filter(|fanotify| fanotify.state == State::Unknown) {
        return unknown(fanotify);
    }
    if findings.has(Feature::Fanotify) {
        return Choice {
            tracker: Kind::Fanotify,
            hooks: None,
            why,
            lost: Some("O_PATH descriptors are not seen, and nothing is counted"),
            next,
        };
    }
    Choice {
        tracker: Kind::None,
        hooks: None,
        why,
        lost: Some("holds go at the next transaction only"),
        next,
    }
}

fn unknown(obstacle: &Finding) -> Choice {
    Choice {
        tracker: Kind::Unknown,
        hooks: None,
        why: explain(obstacle),
        lost: None,
        next: Some("run `rousr doctor` as root".to_owned()),
    }
}

fn explain(obstacle: &Finding) -> String {
    format!("{}: {}", obstacle.name, obstacle.how)
}

fn advice(missing: Feature) -> &'static str {
    match missing {
        Feature::Btf => "boot a kernel built with CONFIG_DEBUG_INFO_BTF",
        Feature::Lockdown => "boot without lockdown=confidentiality",
        Feature::Bpf | Feature::RingBuffer | Feature::Fentry => {
            "run it outside of the container, or boot a kernel that allows BPF, as Debian's do"
        }
        _ => "boot Linux 5.12 or newer",
    }
}
