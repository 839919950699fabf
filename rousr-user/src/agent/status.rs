//! The state of everything, as `rousr status` shows it.

mod look;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use serde::{Deserialize, Serialize};

use super::{blocker::Blocker, orphans::Orphans, remedy::Remedy};
use crate::{
    seal::{Level, wanted::Source},
    track::{
        Health,
        process::{Holder, Who},
    },
    transaction::Opening,
};

/// The state of one volume. In JSON, names are in camelCase, sizes in bytes and times in seconds
/// since 1970.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where the volume is mounted.
    pub mount_point: String,
    /// Type of the filesystem.
    pub filesystem: String,
    /// What is mounted.
    pub source: String,
    /// The level it has.
    pub level: Level,
    /// The level it should have outside of transactions.
    pub wanted: Level,
    /// Who says so.
    pub wanted_by: Source,
    /// The highest level that it can have while others write to its filesystem.
    pub reachable: Level,
    /// Where these have it mounted.
    pub shared_with: Vec<String>,
    /// Why it can never be made writable, where that is so.
    pub frozen: Option<String>,
    /// For whom the volume is writable, and since when.
    pub openings: Vec<Opening>,
    /// The agent; absent where none is running.
    pub agent: Option<AgentStatus>,
    /// The preserved inodes.
    pub holds: Vec<HoldStatus>,
    /// What keeps the superblock from going read-only.
    pub blockers: Vec<Blocker>,
    /// Whether that is all.
    pub orphans: Orphans,
    /// Mounts of the filesystem in other mount namespaces that are writable wherever its superblock is.
    pub elsewhere: Vec<Elsewhere>,
    /// The other read-only filesystems below /usr.
    #[serde(default)]
    pub beside: Vec<Status>,
    /// What could not be told, and what else is amiss.
    pub warnings: Vec<String>,
}

/// The running agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Its process.
    pub pid: u32,
    /// `bpf`: exact counts; `fanotify`: told of closes; `none`: holds go at the next transaction
    /// only.
    pub tracker: String,
    /// Whether the BPF programs or the marks are in the kernel; they are while there is a hold, or /usr is open.
    pub attached: bool,
    /// Number of inodes whose holders are watched.
    pub watched: usize,
    /// By what it hears of openings and releases: `lsm`, `fentry`, `fanotify` or empty.
    pub hooks: String,
    /// Whether what the kernel counts outlives the agent.
    pub pinned: bool,
    /// Releases told since the start.
    pub releases: u64,
    /// Times that the counts were compared with the kernel's since an event was lost.
    pub resyncs: u64,
    /// Inodes whose count had to be corrected.
    pub corrections: u64,
    /// Events the kernel side lost, by what lost them.
    pub losses: BTreeMap<String, u64>,
    /// Why there is no exact tracker.
    pub missing: Option<String>,
}

/// A writable mount of the filesystem in another mount namespace.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Elsewhere {
    /// Where it is mounted, as a process there sees it.
    pub mount_point: String,
    /// That process.
    #[serde(flatten)]
    pub who: Who,
    /// What ends it; absent where the process has ended.
    pub remedy: Option<Remedy>,
}

/// A preserved inode.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldStatus {
    /// Inode number.
    pub inode: u64,
    /// Where the file was; absent where the ledger does not know. What is not UTF-8 is replaced.
    pub path: Option<String>,
    /// The package it came from.
    pub package: Option<String>,
    /// That package's version.
    pub old_version: Option<String>,
    /// The version that replaced it; absent for a removal.
    pub new_version: Option<String>,
    /// When it was preserved.
    pub since: Option<u64>,
    /// Disk space it takes.
    pub bytes: u64,
    /// Open files the kernel side counts; absent without it.
    pub count: Option<u64>,
    /// Who uses it, as far as a process shows it.
    pub holders: Vec<Holder>,
    /// What ends all of these uses, each once.
    pub remedies: Vec<Remedy>,
}

impl From<&Health> for AgentStatus {
    fn from(health: &Health) -> Self {
        Self {
            pid: std::process::id(),
            tracker: health.tracker.to_owned(),
            attached: health.attached,
            watched: health.watched,
            hooks: health.hooks.to_owned(),
            pinned: health.pinned,
            releases: health.releases,
            resyncs: health.resyncs,
            corrections: health.corrections,
            losses: (health.losses.iter())
                .map(|(&cause, &lost)| (cause.to_owned(), lost))
                .collect(),
            missing: health.missing.clone(),
        }
    }
}

impl Status {
    /// This, and each of the others below it.
    pub fn volumes(&self) -> impl Iterator<Item = &Self> {
        iter::once(self).chain(&self.beside)
    }

    /// What ends every use of a hold and all that blocks, each once.
    pub fn remedies(&self) -> BTreeSet<Remedy> {
        let of_holds = self.volumes().flat_map(|volume| &volume.holds);
        let of_blockers = self.volumes().flat_map(|volume| &volume.blockers);
        (of_holds.flat_map(|hold| &hold.remedies))
            .chain(of_blockers.flat_map(|blocker| &blocker.remedies))
            .cloned()
            .collect()
    }

    /// Whether anything keeps the filesystem of this one from the level wanted, shown by a process or not.
    pub fn is_blocked(&self) -> bool {
        let is_to_be_sealed = self.openings.is_empty() && self.level < self.wanted;
        !self.blockers.is_empty() || self.orphans.missing() > 0 || is_to_be_sealed
    }

    /// Bytes of all holds.
    pub fn bytes(&self) -> u64 {
        self.holds.iter().map(|hold| hold.bytes).sum()
    }
}
