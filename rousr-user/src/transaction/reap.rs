//! After a transaction: holds go as their last holders do.

use std::{os::fd::AsFd as _, path::Path, time::SystemTime};

use super::{Error, Keeper};
use crate::{
    hold::{
        Probe, Probed, Reap, Store,
        ledger::{Event, Record},
    },
    seal::Level,
    sys::{clock::monotonic, lease::Leases, links::Links, mount::Mounts},
    track::{Tracker, Truth},
};

/// What became of inodes that lost a holder.
#[derive(Debug, Default)]
pub struct Reaping {
    /// Holds removed.
    pub reaped: Vec<Reaped>,
    /// The level after it; `None` where no window was opened.
    pub level: Option<Level>,
    /// Inodes whose hold somebody else has removed.
    pub gone: Vec<u64>,
    /// What failed; those holds stay.
    pub errors: Vec<String>,
}

/// A hold that is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reaped {
    /// The inode it kept.
    pub inode: u64,
    /// Disk space freed.
    pub bytes: u64,
    /// `CLOCK_MONOTONIC` when the kernel said that nobody uses it, nanoseconds.
    pub verdict: u64,
    /// `CLOCK_MONOTONIC` when it was removed, nanoseconds.
    pub at: u64,
    /// What the ledger says of it.
    pub record: Record,
}

impl Reaped {
    /// A path the file had; `None` where the ledger does not know.
    pub fn path(&self) -> Option<&Path> {
        self.record.path.as_deref()
    }
}

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// Removes the holds among `inodes` that have no holder left, by the tracker's count and by
    /// the kernel's own. What nobody counts and has another name is left to the transaction's end: the name
    /// may be about to go.
    ///
    /// The probes come first: a window is opened only where something is to be removed.
    ///
    /// # Errors
    ///
    /// Fails where the window cannot be opened; all holds stay then.
    pub fn reap(
        &self,
        tracker: &mut impl Tracker,
        inodes: impl IntoIterator<Item = u64>,
    ) -> Result<Reaping, Error> {
        let _lock = self.lock_soon()?;
        let mut reaping = Reaping::default();
        let free = self.probe(tracker, inodes, &mut reaping)?;
        if free.is_empty() {
            tracker.rest();
            return Ok(reaping);
        }
        let (unlinked, level) = self.window(|root| {
            let store = self.store(root)?;
            let unlink = |free: Free| {
                let unlinked = unlink(store.as_ref(), free);
                // A pin of an inode without a name would keep the superblock from being sealed.
                if let Ok(gone) = &unlinked {
                    tracker.unwatch(gone.inode);
                }
                unlinked
            };
            Ok::<_, Error>(free.into_iter().map(unlink).collect::<Vec<_>>())
        })?;
        match level {
            Ok(level) => reaping.level = Some(level),
            Err(error) => reaping.errors.push(error.to_string()),
        }
        let unlinked = unlinked.unwrap_or_else(|error| vec![Err(error.to_string())]);
        let gone = unlinked.iter().flatten().map(|gone| gone.inode);
        let entries = self.ledger.recall_of(&gone.collect::<Vec<u64>>());
        let now = SystemTime::now();
        let mut records = Vec::new();
        for unlinked in unlinked {
            match unlinked {
                Ok(gone) => {
                    let entry = entries.get(&gone.inode);
                    let record = Record::removed(Event::Reaped, gone.inode, entry, now);
                    records.push(record.clone());
                    reaping.reaped.push(Reaped { record, ..gone });
                }
                Err(error) => reaping.errors.push(error),
            }
        }
        self.annotate(records, &mut reaping.errors);
        tracker.rest();
        Ok(reaping)
    }

    fn probe(
        &self,
        tracker: &mut impl Tracker,
        inodes: impl IntoIterator<Item = u64>,
        reaping: &mut Reaping,
    ) -> Result<Vec<Free>, Error> {
        let mount = self.seal.open()?;
        let Some(store) = self.store(mount.as_fd())? else {
            return Ok(Vec::new());
        };
        let mut free = Vec::new();
        for inode in inodes {
            let count = tracker.holders(inode);
            if count.is_some_and(|holders| holders > 0) {
                continue;
            }
            match store.probe(inode, &Truth::new(&self.leases, &*tracker)) {
                Ok(Probe::Free(probed)) if count.is_none() && probed.has_other_names() => {}
                Ok(Probe::Free(probed)) => free.push(Free {
                    probed,
                    verdict: monotonic(),
                }),
                // A user that no count knows.
                Ok(Probe::InUse) => {}
                Ok(Probe::Gone) => {
                    tracker.unwatch(inode);
                    reaping.gone.push(inode);
                }
                Err(error) => reaping.errors.push(error.to_string()),
            }
        }
        Ok(free)
    }
}

/// A hold that can go.
struct Free {
    probed: Probed,
    verdict: u64,
}

/// Unlinks one hold; a failure concerns this one only.
fn unlink<L: Links>(store: Option<&Store<'_, L>>, free: Free) -> Result<Reaped, String> {
    let Free { probed, verdict } = free;
    let (inode, bytes) = (probed.inode(), probed.allocated());
    match store.map(|store| store.unlink(probed)) {
        Some(Ok(Reap::Gone | Reap::AlreadyGone)) | None => Ok(Reaped {
            inode,
            bytes,
            verdict,
            at: monotonic(),
            record: Record::bare(Event::Reaped, inode, SystemTime::now()),
        }),
        Some(Ok(Reap::InUse)) => Err(format!("hold {inode} is in use again")),
        Some(Err(error)) => Err(error.to_string()),
    }
}
