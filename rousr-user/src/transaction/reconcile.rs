//! What a crash left is put right: a directory entry that was on its move, and a ledger that knows
//! other holds than there are.

use std::{collections::BTreeSet, os::fd::AsFd as _, time::SystemTime};

use super::{Error, Keeper};
use crate::{
    hold::{
        Hold, interrupted,
        ledger::{self, Damage, Entries, Event, Record},
    },
    sys::{lease::Leases, links::Links, mount::Mounts},
};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// What is known of each hold there is, and of no other. The ledger says so afterwards, too; what
    /// it does not know of a hold is found by a walk over the volume.
    ///
    /// # Errors
    ///
    /// Fails where the hold directory cannot be used.
    pub(super) fn reconcile(&self, warnings: &mut Vec<String>) -> Result<Entries, Error> {
        let (mut entries, damage) = self.ledger.load();
        self.resume_taking(&entries, warnings)?;
        let holds = self.holds()?.holds;
        let records = self.differences(&holds, &entries, warnings)?;
        for record in &records {
            ledger::apply(&mut entries, record.clone());
        }
        if damage.is_empty() {
            self.annotate(&records, warnings);
            warnings.extend(
                self.ledger
                    .compact(&entries)
                    .err()
                    .map(|error| error.to_string()),
            );
        } else {
            self.replace_damaged(&damage, &entries, warnings);
        }
        Ok(entries)
    }

    /// Ends the moves of directory entries that a crash cut short.
    ///
    /// # Errors
    ///
    /// As [`reconcile`](Self::reconcile).
    pub(super) fn resume_taking(
        &self,
        known: &Entries,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let cut_short = interrupted(&self.holds()?);
        if cut_short.is_empty() {
            return Ok(());
        }
        let (resumed, level) = self.window(|root| {
            let Some(store) = self.store(root)? else {
                return Ok::<_, Error>(Vec::new());
            };
            let resume = |inode| store.resume_taking(inode, known).err();
            Ok(cut_short.into_iter().filter_map(resume).collect())
        })?;
        warnings.extend(resumed?.iter().map(ToString::to_string));
        warnings.extend(level.err().map(|error| error.to_string()));
        Ok(())
    }

    /// What the ledger lacks of these holds, and what it says of others.
    fn differences(
        &self,
        holds: &[Hold],
        entries: &Entries,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Record>, Error> {
        let now = SystemTime::now();
        let there: BTreeSet<u64> = holds.iter().map(|hold| hold.inode).collect();
        let unknown: Vec<&Hold> = holds
            .iter()
            .filter(|hold| !entries.contains_key(&hold.inode))
            .collect();
        let gone = entries.keys().filter(|inode| !there.contains(inode));
        let mut records: Vec<Record> = gone
            .map(|&inode| Record::removed(Event::Missed, inode, entries.get(&inode), now))
            .collect();
        let bare = |hold: &&Hold| Record::bare(Event::Preserved, hold.inode, now);
        records.extend(unknown.iter().map(bare));

        let named = unknown.iter().filter(|hold| hold.stat.links > 1);
        let named: BTreeSet<u64> = named.map(|hold| hold.inode).collect();
        let mount = self.seal.open()?;
        if !named.is_empty()
            && let Some(store) = self.store(mount.as_fd())?
        {
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
