//! After dpkg has run: settle the holds, and seal.

use std::{cell::OnceCell, os::fd::AsFd as _, time::SystemTime};

use super::{Error, Frontend, Keeper, Opener, Openings, Outcome, history::What};
use crate::{
    hold::{Hold, Settled, Store, ledger::Event},
    seal::{Left, Level},
    sys::{lease::Leases, links::Links, mount::Mounts},
    track::{Pin, Tracker, Truth, Untracked},
};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// Ends a transaction, whoever is inside, as [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// As `end`.
    pub fn finish(&self, tracker: &mut impl Tracker) -> Result<Outcome, Error> {
        self.finish_by(tracker, None)
    }

    /// Ends this frontend's transaction, as [`end`](Self::end), unless it was inside of another's.
    ///
    /// # Errors
    ///
    /// As `end`.
    pub fn finish_by(
        &self,
        tracker: &mut impl Tracker,
        frontend: Option<Frontend>,
    ) -> Result<Outcome, Error> {
        self.end(tracker, |openings| {
            if openings.frontends.leave(frontend, self) {
                openings.end(|opener| opener == Opener::Transaction);
            }
        })
    }

    /// Ends what was opened for this opener, as [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// As `end`.
    pub fn close(&self, tracker: &mut impl Tracker, opener: Opener) -> Result<Outcome, Error> {
        self.end(tracker, |openings| {
            openings.end(|other| opener.is_same(other));
        })
    }

    /// Ends the openings whose opener is gone, as [`end`](Self::end); also what a starting agent does
    /// with the holds that it finds.
    ///
    /// # Errors
    ///
    /// As `end`.
    pub fn end_abandoned(&self, tracker: &mut impl Tracker) -> Result<Outcome, Error> {
        self.end(tracker, |openings| {
            let found = openings.clone();
            openings.end(|opener| self.is_over(&found, opener));
        })
    }

    /// Drops the openings that are over. With the last one the holds go that keep nothing, the others
    /// are watched, and the volume is sealed as far as blockers allow. Where it cannot be sealed at all, a
    /// warning says why; that it is to be stays recorded, for [`seal_again`](Self::seal_again).
    ///
    /// # Errors
    ///
    /// Fails where another process is at work, or the record cannot be used; nothing has changed then.
    fn end(
        &self,
        tracker: &mut impl Tracker,
        drop_those_over: impl FnOnce(&mut Openings),
    ) -> Result<Outcome, Error> {
        let _lock = self.lock()?;
        let wanted = self.wanted()?;
        let mut was_open = false;
        if let Some(mut openings) = self.openings()? {
            was_open = !openings.reasons.is_empty();
            drop_those_over(&mut openings);
            openings.store(&self.places.openings)?;
            if !openings.reasons.is_empty() {
                return self.outcome(wanted);
            }
        }
        let mut warnings = Vec::new();
        warnings.extend(self.config().err().map(|error| error.to_string()));
        // A problem with the holds is no reason to leave the volume writable.
        let settled = self.settle(tracker, &mut warnings).unwrap_or_else(|error| {
            warnings.push(error.to_string());
            Settled::default()
        });
        tracker.rest();
        if let Err(error) = self.seal_as_wanted(wanted, &mut warnings) {
            warnings.push(error.to_string());
        }
        if was_open {
            let what = What::Settled {
                level: self.level()?,
                gone: (settled.dropped.len() + settled.reaped.len()) as u64,
                kept: settled.kept.len() as u64,
            };
            self.note([what], &mut warnings);
        }
        Ok(Outcome {
            kept: settled.kept.len() as u64,
            watched: tracker.health().tracker != Untracked::NAME,
            reaped: settled.reaped.len() as u64,
            warnings,
            ..self.outcome(wanted)?
        })
    }

    /// Seals what was to be sealed and could not be, as something may not be in the way any more.
    /// `None` where the volume is open on purpose.
    ///
    /// # Errors
    ///
    /// Fails where it still cannot be sealed at all.
    pub fn seal_again(&self) -> Result<Option<Outcome>, Error> {
        let _lock = self.lock_soon()?;
        if !self.openers()?.is_empty() {
            return Ok(None);
        }
        let wanted = self.wanted()?;
        let before = self.level()?;
        // What is left elsewhere was told when it was met first.
        self.seal_as_wanted(wanted, &mut Vec::new())?;
        let mut outcome = self.outcome(wanted)?;
        let level = outcome.level;
        if level > before {
            self.note([What::Sealed { level }], &mut outcome.warnings);
        }
        Ok(Some(outcome))
    }

    /// Here, and elsewhere even where it fails here.
    fn seal_as_wanted(&self, wanted: Level, warnings: &mut Vec<String>) -> Result<(), Error> {
        if wanted > Level::Open {
            let sealed = self.seal.seal();
            self.seal_elsewhere(warnings);
            sealed?;
        }
        Ok(Openings::remove(&self.places.openings)?)
    }

    fn seal_elsewhere(&self, warnings: &mut Vec<String>) {
        let left = match self.seal.seal_elsewhere() {
            Ok(left) => left,
            Err(error) => return warnings.push(error.to_string()),
        };
        for Left { foreign, error } in left {
            if let Some(error) = error {
                warnings.push(format!(
                    "process {} can still write to {} in its mount namespace: {error}; restart its unit, \
                     which `rousr status` names",
                    foreign.pid,
                    foreign.mount.mount_point.display()
                ));
            }
        }
    }

    fn settle(
        &self,
        tracker: &mut impl Tracker,
        warnings: &mut Vec<String>,
    ) -> Result<Settled, Error> {
        // What nobody can write to has nothing to settle.
        if self.seal.state()?.frozen.is_some() {
            return Ok(Settled::default());
        }
        let (census, entries) = self.reconcile(warnings)?;
        let mount = self.seal.open()?;
        let store = self.store(mount.as_fd())?;
        let Some(store) = store.filter(|_| !census.inodes.is_empty()) else {
            return Ok(Settled::default());
        };
        let sorted = store.sort(census, &entries);
        watch(&store, &sorted.others, tracker, warnings);
        let (settled, level) = self.window(|root| {
            let Some(store) = self.store(root)? else {
                return Ok::<_, Error>(Settled::default());
            };
            let truth = Truth::new(&self.leases, &*tracker);
            // Only after a crash: a name is left that goes by itself, or never, as dpkg's .dpkg-tmp does.
            let used = OnceCell::new();
            let is_unused = |inode| {
                let used = used.get_or_init(|| self.in_use().ok());
                used.as_ref().is_some_and(|used| !used.contains_key(&inode))
            };
            let count = |inode| {
                let counted = tracker.holders(inode);
                counted.or_else(|| is_unused(inode).then_some(0))
            };
            let settled = store.settle(sorted, &truth, count);
            // A pin of an inode without a name would keep the superblock from being sealed.
            for &inode in settled.dropped.iter().chain(&settled.reaped) {
                tracker.unwatch(inode);
            }
            Ok(settled)
        })?;
        if let Err(error) = level {
            warnings.push(error.to_string());
        }
        let settled = settled?;
        warnings.extend(settled.failed.iter().map(ToString::to_string));
        warnings.extend(settled.strays.iter().map(ToString::to_string));

        let dropped = settled.dropped.iter().map(|&inode| (Event::Dropped, inode));
        let reaped = settled.reaped.iter().map(|&inode| (Event::Reaped, inode));
        let gone: Vec<(Event, u64)> = dropped.chain(reaped).collect();
        if let Err(error) = self.ledger.remove(entries, &gone, SystemTime::now()) {
            warnings.push(error.to_string());
        }
        Ok(settled)
    }
}

/// Watches the holds whose inode has no other name; one that has is of no interest.
fn watch<L: Links>(
    store: &Store<'_, L>,
    holds: &[Hold],
    tracker: &mut impl Tracker,
    warnings: &mut Vec<String>,
) {
    let mut pins = Vec::new();
    for hold in holds.iter().filter(|hold| hold.stat.links == 1) {
        match store.pin(hold.inode) {
            Ok(file) => pins.push(Pin {
                inode: hold.inode,
                file,
            }),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    if let Err(error) = tracker.watch(pins) {
        // The lease still tells whether they may go, at the next transaction.
        warnings.push(error.to_string());
    }
}
