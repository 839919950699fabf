//! After dpkg has run: which holds are still good for something.

use super::Error;
use super::ledger::{Entries, Entry};
use super::place::{Place, Places};
use super::reap::{Probe, Reap};
use super::store::{Hold, Store, Stray};
use super::verdict::{Usage, Verdict, verdict};
use crate::sys::lease::Leases;
use crate::sys::links::Links;

/// What became of the holds.
#[derive(Debug, Default)]
pub struct Settled {
    /// Holds removed whose inode lives on by another name.
    pub dropped: Vec<Hold>,
    /// Holds removed together with their inode, which nobody used.
    pub reaped: Vec<Hold>,
    /// Holds that stay, with the inode as it was before its set-id bits went.
    pub kept: Vec<Hold>,
    /// Names in the hold directory that are no hold's.
    pub strays: Vec<Stray>,
    /// Holds that could not be dealt with; they stay too.
    pub failed: Vec<Error>,
}

impl<L: Links> Store<'_, L> {
    /// Drops the holds of files that were not replaced, reaps those that nobody uses, and takes the
    /// set-id bits from those that are only ours.
    ///
    /// The store's mount is writable. `count` gives a tracker's number of holders of an inode, `None`
    /// for one that it does not track. Nothing but the kernel's lease ends an inode's last name.
    pub fn settle(
        &self,
        entries: &Entries,
        leases: &impl Leases,
        count: impl Fn(u64) -> Option<u64>,
    ) -> Result<Settled, Error> {
        let listing = self.list()?;
        let mut settled = Settled {
            strays: listing.strays,
            ..Settled::default()
        };
        let mut places = Places::new(&self.links, self.mount_point);
        for hold in listing.holds {
            let named = entries
                .get(&hold.inode)
                .is_some_and(|entry| self.is_named(&hold, entry, &mut places));
            if let Err(error) = self.settle_one(hold, named, leases, &count, &mut settled) {
                settled.failed.push(error);
            }
        }
        Ok(settled)
    }

    fn settle_one(
        &self,
        hold: Hold,
        named: bool,
        leases: &impl Leases,
        count: impl Fn(u64) -> Option<u64>,
        settled: &mut Settled,
    ) -> Result<(), Error> {
        let mut probed = None;
        let mut trouble = None;
        let usage = || match (count(hold.inode), hold.stat.links) {
            (Some(1..), _) => Usage::Used,
            (Some(0), 2..) => Usage::Unused,
            (None, 2..) => Usage::Unknown,
            _ => match self.probe(hold.inode, leases) {
                Ok(Probe::Free(free)) => {
                    probed = Some(free);
                    Usage::Unused
                }
                Ok(Probe::Gone) => Usage::Unused,
                Ok(Probe::InUse) => Usage::Used,
                Err(error) => {
                    trouble = Some(error);
                    Usage::Unknown
                }
            },
        };
        match verdict(hold.stat.links, named, usage) {
            Verdict::Drop => {
                if self.remove(hold.inode)? == Reap::Gone {
                    settled.dropped.push(hold);
                }
            }
            Verdict::Reap => {
                if probed.map_or(Ok(Reap::AlreadyGone), |free| self.unlink(free))? == Reap::Gone {
                    settled.reaped.push(hold);
                }
            }
            Verdict::Keep => settled.kept.push(hold),
            Verdict::KeepAlone => {
                settled.kept.push(hold);
                if hold.stat.is_set_id() {
                    self.disarm(hold.inode)?;
                }
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Whether a name that the ledger knows still leads to the hold's inode.
    fn is_named(&self, hold: &Hold, entry: &Entry, places: &mut Places<'_, L>) -> bool {
        entry
            .names
            .iter()
            .any(|name| match places.find(&name.path) {
                Ok(Place::Below(path)) => self.leads_to(&path, &hold.stat),
                _ => false,
            })
    }
}
