//! How the state is found.

use std::{collections::HashSet, io};

use super::{AgentStatus, Elsewhere, HoldStatus, Status};
use crate::{
    agent::{
        blocker::{self, BlockerKind},
        orphans::Orphans,
        remedy::Remedy,
    },
    hold::{Hold, ledger::Entries},
    seal::{self, Level, Wanted},
    sys::namespace::Foreign,
    track::{
        kernel_side::KernelUse,
        process::{Process, Who},
        survey::Survey,
    },
    transaction::{Error, HostKeeper},
};

impl Status {
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
