//! The state of everything, as `rousr status` shows it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io, iter,
};

use serde::{Deserialize, Serialize};

use super::{
    blocker::{self, Blocker, BlockerKind},
    orphans::Orphans,
    remedy::Remedy,
};
use crate::{
    hold::{Hold, ledger::Entries},
    seal::{self, Level, Wanted, wanted::Source},
    sys::namespace::Foreign,
    track::{
        Health,
        kernel_side::KernelUse,
        process::{Holder, Process, Who},
        survey::Survey,
    },
    transaction::{Error, HostKeeper, Opening},
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

    /// Looks at all but the processes. `count` is the tracker's number of holders of an inode.
    ///
    /// # Errors
    ///
    /// Fails where the volume itself cannot be looked at; the rest becomes a warning.
    pub fn collect(
        keeper: &HostKeeper,
        agent: Option<AgentStatus>,
        count: impl Fn(u64) -> Option<u64>,
    ) -> Result<Self, Error> {
        let volume = keeper.volume();
        let wanted: Wanted = keeper.wanted_by()?;
        let misconfigured = keeper.config().err().map(|error| error.to_string());
        let openings = keeper.openings()?;
        let state = keeper.seal().state()?;
        let shared_with = keeper.seal().shared_with()?;
        let listing = keeper.holds()?;
        let (entries, damage) = keeper.ledger().load();
        let strays = listing.strays.iter().map(ToString::to_string);
        let is_exact = agent.as_ref().is_some_and(|agent| agent.tracker == "bpf");
        let holds: Vec<HoldStatus> = (listing.holds.iter())
            .map(|hold| HoldStatus::new(hold, &entries, count(hold.inode)))
            .collect();
        let unwatched = (listing.holds.iter().zip(&holds))
            .filter(|(hold, told)| hold.stat.links == 1 && told.count.is_none())
            .count();
        let unwatched = (is_exact && unwatched > 0 && openings.is_none()).then(|| {
            format!(
                "{unwatched} holds are not watched, and go at the next transaction only; \
                 see `journalctl -u rousr`"
            )
        });
        Ok(Self {
            mount_point: volume.mount_point.to_string_lossy().into_owned(),
            filesystem: volume.fs_type.to_string_lossy().into_owned(),
            source: volume.source.to_string_lossy().into_owned(),
            level: Level::of(state),
            wanted: wanted.level,
            wanted_by: wanted.by,
            reachable: Level::reachable(state),
            shared_with: (shared_with.iter())
                .map(|mount_point| mount_point.to_string_lossy().into_owned())
                .collect(),
            frozen: state.frozen.map(|frozen| frozen.to_string()),
            openings: openings.map_or_else(Vec::new, |openings| openings.reasons),
            agent,
            holds,
            blockers: Vec::new(),
            orphans: Orphans::default(),
            elsewhere: Vec::new(),
            beside: Vec::new(),
            warnings: strays
                .chain(damage.iter().map(ToString::to_string))
                .chain(unwatched)
                .chain(misconfigured)
                .collect(),
        })
    }

    /// Adds the mounts elsewhere.
    pub fn add_elsewhere(&mut self, found: Result<Vec<Foreign>, seal::Error>) {
        match found {
            Ok(found) => self.elsewhere = found.iter().map(Elsewhere::look_at).collect(),
            Err(error) => self.warnings.push(error.to_string()),
        }
    }

    /// Adds another volume, with who uses what there.
    pub fn add_beside(
        &mut self,
        other: Result<Self, Error>,
        survey: io::Result<Survey>,
        kernel: io::Result<Vec<KernelUse>>,
    ) {
        match other {
            Ok(mut other) => {
                other.add(survey, kernel);
                self.beside.push(other);
            }
            Err(error) => self.warnings.push(error.to_string()),
        }
    }

    /// Adds who uses what, and what the kernel itself uses.
    pub fn add(&mut self, survey: io::Result<Survey>, kernel: io::Result<Vec<KernelUse>>) {
        let kernel = kernel.unwrap_or_else(|error| {
            let warning = format!("cannot tell what the kernel itself uses: {error}");
            self.warnings.push(warning);
            Vec::new()
        });
        let survey = match survey {
            Ok(survey) => survey,
            Err(error) => {
                let warning = format!("cannot tell who uses what: {error}");
                return self.warnings.push(warning);
            }
        };
        if survey.incomplete > 0 {
            self.warnings.push(format!(
                "not all that {} processes use could be told",
                survey.incomplete
            ));
        }
        let inodes: HashSet<u64> = self.holds.iter().map(|hold| hold.inode).collect();
        let uses = survey.group(|usage| inodes.contains(&usage.inode).then_some(usage.inode));
        for hold in &mut self.holds {
            if let Some(uses) = uses.get(&hold.inode) {
                (hold.holders, hold.remedies) = blocker::tell(uses);
            }
        }
        self.blockers = blocker::among(&survey, &kernel);
        self.orphans = Orphans::new(&survey, &self.blockers);
        // Where the superblock stays writable for others, only a writer is in the way, and only of the mount.
        if self.reachable < Level::Sealed {
            let is_open = self.level == Level::Open;
            self.blockers
                .retain(|blocker| is_open && blocker.kind == BlockerKind::Writer);
        }
    }
}

impl Elsewhere {
    /// With what /proc tells of the process, which may have ended.
    fn look_at(foreign: &Foreign) -> Self {
        let process = Process::read(foreign.pid).ok();
        let remedy = process.as_ref().map(|process| Remedy::of(process, &[]));
        let ended = || Who {
            pid: foreign.pid,
            comm: String::new(),
            unit: None,
            unit_user: None,
        };
        Self {
            mount_point: foreign.mount.mount_point.to_string_lossy().into_owned(),
            who: process.as_ref().map_or_else(ended, Who::from),
            remedy,
        }
    }
}

impl HoldStatus {
    fn new(hold: &Hold, entries: &Entries, count: Option<u64>) -> Self {
        let entry = entries.get(&hold.inode);
        let name = entry.and_then(|entry| entry.names.first());
        let origin = name.and_then(|name| name.origin.as_ref());
        Self {
            inode: hold.inode,
            path: name.map(|name| name.path.to_string_lossy().into_owned()),
            package: origin.map(|origin| origin.package.clone()),
            old_version: origin.map(|origin| origin.old_version.clone()),
            new_version: origin.and_then(|origin| origin.new_version.clone()),
            since: entry.map(|entry| entry.since_unix_milliseconds / 1000),
            bytes: hold.stat.allocated,
            count,
            holders: Vec::new(),
            remedies: Vec::new(),
        }
    }
}
