//! What a crash left is put right: a directory entry that was on its move, and a ledger that knows
//! other holds than there are.

use std::{collections::BTreeSet, os::fd::AsFd as _, time::SystemTime};

use super::{Error, Keeper};
use crate::{
    hold::{
        Census, Hold, interrupted,
        ledger::{self, Damage, Entries, Event, Record},
    },
    sys::{lease::Leases, links::Links, mount::Mounts},
};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// The holds there are, and what is known of each and of no other. The ledger says so afterwards,
    /// too; what it does not know of a hold is found by a walk over the volume.
    ///
    /// # Errors
    ///
    /// Fails where the hold directory cannot be used.
    pub(super) fn reconcile(&self, warnings: &mut Vec<String>) -> Result<(Census, Entries), Error> {
        let (mut entries, damage) = self.ledger.recall();
        let census = self.resume_taking(Some(&entries), warnings)?;
        let records = self.differences(&census.inodes, &entries, warnings)?;
        for record in &records {
            ledger::apply(&mut entries, record.clone());
        }
        if damage.is_empty() {
            self.annotate(records, warnings);
            warnings.extend(
                self.ledger
                    .compact(&entries)
                    .err()
                    .map(|error| error.to_string()),
            );
        } else {
            self.replace_damaged(&damage, &entries, warnings);
        }
        Ok((census, entries))
    }

    /// Ends the moves of directory entries that a crash cut short, and tells what holds there are then.
    /// `known` is what the ledger says, read where it is needed and not given.
    ///
    /// # Errors
    ///
    /// As [`reconcile`](Self::reconcile).
    pub(super) fn resume_taking(
        &self,
        known: Option<&Entries>,
        warnings: &mut Vec<String>,
    ) -> Result<Census, Error> {
        let census = self.census()?;
        let cut_short = interrupted(&census.strays);
        if cut_short.is_empty() {
            return Ok(census);
        }
        let loaded = known.is_none().then(|| self.ledger.load().0);
        let known = known
            .or(loaded.as_ref())
            .unwrap_or(const { &Entries::new() });
        let (resumed, level) = self.window(|root| {
            let Some(store) = self.store(root)? else {
                return Ok::<_, Error>(Vec::new());
            };
            let resume = |inode| store.resume_taking(inode, known).err();
            Ok(cut_short.into_iter().filter_map(resume).collect())
        })?;
        warnings.extend(resumed?.iter().map(ToString::to_string));
        warnings.extend(level.err().map(|error| error.to_string()));
        self.census()
    }

    /// What the ledger lacks of these holds, and what it says of others.
    fn differences(
        &self,
        inodes: &[u64],
        entries: &Entries,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Record>, Error> {
        let now = SystemTime::now();
        let unknown: Vec<u64> = (inodes.iter().copied())
            .filter(|inode| !entries.contains_key(inode))
            .collect();
        let gone = (entries.iter()).filter(|(inode, _)| inodes.binary_search(inode).is_err());
        let mut records: Vec<Record> = gone
            .map(|(&inode, entry)| Record::removed(Event::Missed, inode, Some(entry), now))
            .collect();
        let bare = |&inode: &u64| Record::bare(Event::Preserved, inode, now);
        records.extend(unknown.iter().map(bare));

        let mount = self.seal.open()?;
        if !unknown.is_empty()
            && let Some(store) = self.store(mount.as_fd())?
        {
            let is_named = |hold: &Hold| hold.stat.links > 1;
            let named = unknown
                .iter()
                .filter(|&&inode| store.hold(inode).as_ref().is_some_and(is_named));
            let named: BTreeSet<u64> = named.copied().collect();
            if named.is_empty() {
                return Ok(records);
            }
            match store.find_names(&named) {
                Ok(names) => {
                    records.extend(names.iter().map(|name| Record::preserved(name, now)));
                }
                Err(error) => warnings.push(format!(
                    "cannot look for the names of {} holds: {error}; they stay until the next transaction",
                    named.len()
                )),
            }
        }
        Ok(records)
    }

    fn replace_damaged(&self, damage: &[Damage], entries: &Entries, warnings: &mut Vec<String>) {
        super::preserve::warn(warnings, damage.iter().map(ToString::to_string));
        match self.ledger.replace_damaged(entries) {
            Ok(aside) => warnings.push(format!(
                "the ledger is written anew after the holds there are; the damaged one is {}",
                aside.display()
            )),
            Err(error) => warnings.push(error.to_string()),
        }
    }
}
