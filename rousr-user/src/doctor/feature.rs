//! The features, and what was found out about each.

use std::ops::Deref;

use serde::Serialize;

/// What rousr wants of the kernel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Feature {
    /// The kernel's own type information.
    Btf,
    /// bpf(2): maps and programs.
    Bpf,
    /// BPF's ring buffer.
    RingBuffer,
    /// BPF programs as an active security module.
    BpfLsm,
    /// BPF programs at the entry of kernel functions.
    Fentry,
    /// The iterator over all tasks' files.
    FileIterator,
    /// The iterator over all tasks' mappings.
    MappingIterator,
    /// The filesystem that pins maps and programs.
    BpfFilesystem,
    /// No lockdown for the sake of confidentiality.
    Lockdown,
    /// mount_setattr(2).
    MountSetattr,
    /// open_tree(2), fspick(2), fsconfig(2).
    MountObjects,
    /// Leases on the volume.
    Leases,
    /// fanotify(7) with file handles, and marks on the volume's inodes.
    Fanotify,
    /// /proc/PID/map_files.
    MapFiles,
    /// The filesystem that lists the active security modules.
    Securityfs,
    /// Control groups, version 2.
    Cgroup2,
}

/// What a feature is called, the kernel that had it first, and what is lost without it.
struct Description {
    name: &'static str,
    since: &'static str,
    lost: &'static str,
}

impl Feature {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::Btf,
        Self::Bpf,
        Self::RingBuffer,
        Self::BpfLsm,
        Self::Fentry,
        Self::FileIterator,
        Self::MappingIterator,
        Self::BpfFilesystem,
        Self::Lockdown,
        Self::MountSetattr,
        Self::MountObjects,
        Self::Leases,
        Self::Fanotify,
        Self::MapFiles,
        Self::Securityfs,
        Self::Cgroup2,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// The Linux version that had it first.
    pub fn since(self) -> &'static str {
        self.description().since
    }

    /// What is lost without it.
    pub fn lost(self) -> &'static str {
        self.description().lost
    }

    /// The feature that makes this one needless.
    fn stands_in_for(self) -> Option<Self> {
        match self {
            Self::Fentry => Some(Self::BpfLsm),
            _ => None,
        }
    }

    fn description(self) -> Description {
        let (name, since, lost) = match self {
            Self::Btf => (
                "type information (BTF)",
                "5.2",
                "exact counts: no BPF program can read the kernel's structures",
            ),
            Self::Bpf => (
                "BPF maps and programs",
                "4.4",
                "exact counts: fanotify tells of closes instead",
            ),
            Self::RingBuffer => (
                "BPF ring buffer",
                "5.8",
                "exact counts: nothing would wake the agent",
            ),
            Self::BpfLsm => (
                "BPF as a security module",
                "5.7",
                "hooks that are never skipped: fentry's can be, and all is counted anew then",
            ),
            Self::Fentry => (
                "BPF at function entry",
                "5.5",
                "the stand-in for BPF as a security module",
            ),
            Self::FileIterator => (
                "BPF iterator over files",
                "5.8",
                "exact counts: what was open before is not known",
            ),
            Self::MappingIterator => (
                "BPF iterator over mappings",
                "5.12",
                "exact counts: what was mapped before is not known",
            ),
            Self::BpfFilesystem => (
                "BPF filesystem mounted",
                "4.4",
                "counts that outlive the agent: they begin anew when it starts",
            ),
            Self::Lockdown => (
                "no confidential lockdown",
                "5.4",
                "exact counts: BPF programs may not read the kernel's memory",
            ),
            Self::MountSetattr => (
                "flags of a mount",
                "5.12",
                "the seal: /usr cannot be made read-only",
            ),
            Self::MountObjects => (
                "mounts by descriptor",
                "5.2",
                "the seal, and the window in which holds are removed",
            ),
            Self::Leases => (
                "leases",
                "2.4",
                "the removal of holds: nothing tells whether a file is in use",
            ),
            Self::Fanotify => (
                "fanotify with file handles",
                "5.1",
                "the stand-in for BPF: holds would go at the next transaction only",
            ),
            Self::MapFiles => (
                "links of mappings in /proc",
                "4.3",
                "who maps a replaced file, and its hold if no package lists it",
            ),
            Self::Securityfs => (
                "securityfs mounted",
                "2.6.14",
                "how far the kernel is locked down, and before Linux 6.8 which hooks BPF can use",
            ),
            Self::Cgroup2 => (
                "control groups, version 2",
                "4.5",
                "the systemd unit of a process, unless systemd has a hierarchy of version 1",
            ),
        };
        Description { name, since, lost }
    }
}

/// Whether a feature is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It works.
    Found,
    /// It does not, or is refused.
    Missing,
    /// It could not be tried.
    Unknown,
}

/// What a probe says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Whether the feature is there.
    pub state: State,
    /// How that was found out.
    pub how: String,
}

impl Answer {
    /// It is there.
    pub fn found(how: impl Into<String>) -> Self {
        Self {
            state: State::Found,
            how: how.into(),
        }
    }

    /// It is not.
    pub fn missing(how: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            how: how.into(),
        }
    }

    /// Nobody knows.
    pub fn unknown(how: impl Into<String>) -> Self {
        Self {
            state: State::Unknown,
            how: how.into(),
        }
    }
}

/// A feature, and what was found out about it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which one.
    pub feature: Feature,
    /// Its name for people.
    pub name: &'static str,
    /// The Linux version that had it first.
    pub since: &'static str,
    /// Whether it is there.
    pub state: State,
    /// How that was found out.
    pub how: String,
    /// What is lost; absent where the feature is there or not needed.
    pub lost: Option<&'static str>,
}

impl Finding {
    /// A feature with its probe's answer.
    pub fn new(feature: Feature, answer: Answer) -> Self {
        Self {
            feature,
            name: feature.name(),
            since: feature.since(),
            state: answer.state,
            how: answer.how,
            lost: (answer.state != State::Found).then(|| feature.lost()),
        }
    }
}

/// What was found out about all features.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// What was found out about one.
    pub fn of(&self, feature: Feature) -> Option<&Finding> {
        self.iter().find(|finding| finding.feature == feature)
    }

    /// Whether it is there.
    pub fn has(&self, feature: Feature) -> bool {
        self.of(feature)
            .is_some_and(|finding| finding.state == State::Found)
    }

    /// With nothing lost by a missing stand-in that nobody needs.
    pub(super) fn without_needless(mut self) -> Self {
        let needless: Vec<Feature> = Feature::ALL
            .into_iter()
            .filter(|feature| feature.stands_in_for().is_some_and(|first| self.has(first)))
            .collect();
        for finding in &mut self.0 {
            if needless.contains(&finding.feature) {
                finding.lost = None;
            }
        }
        self
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        Self(findings.into_iter().collect())
    }
}

impl Deref for Findings {
    type Target = [Finding];

    fn deref(&self) -> &[Finding] {
        &self.0
    }
}
