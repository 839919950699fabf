//! After dpkg has run: which holds are still good for something.

use super::Error;
use super::ledger::{Entries, Entry};
use super::place::{Place, Places};
use super::reap::{Probe, Reap};
use super::store::{Census, Hold, Store, Stray};
use super::verdict::{Usage, Verdict, verdict};
use crate::sys::lease::Leases;
use crate::sys::links::{Links, Stat};

/// The holds by what they keep.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Inode numbers of those that keep nothing: the inode has a name that the ledger knows.
    pub named: Vec<u64>,
    /// All others.
    pub others: Vec<Hold>,
    /// Names in the hold directory that are no hold's.
    pub strays: Vec<Stray>,
}

/// What became of the holds.
#[derive(Debug, Default)]
pub struct Settled {
    /// Inode numbers of holds removed whose inode lives on by another name.
    pub dropped: Vec<u64>,
    /// Inode numbers of holds removed together with their inode, which nobody used.
    pub reaped: Vec<u64>,
    /// Holds that stay, with the inode as it was before its set-id bits went.
    pub kept: Vec<Hold>,
    /// Names in the hold directory that are no hold's.
    pub strays: Vec<Stray>,
    /// Holds that could not be dealt with; they stay too.
    pub failed: Vec<Error>,
}

impl<L: Links> Store<'_, L> {
    /// Looks for the names that the ledger knows. An inode that has one is not looked at by its hold, too.
    pub fn sort(&self, census: Census, entries: &Entries) -> Sorted {
        let mut sorted = Sorted {
            strays: census.strays,
            ..Sorted::default()
        };
        let device = (self.links.stat_open(self.dir())).map_or(0, |directory| directory.device);
        let mut places = Places::new(&self.links, self.root, self.mount_point);
        for inode in census.inodes {
            let entry = entries.get(&inode);
            let mut is_named = |device| {
                entry.is_some_and(|entry| self.is_named((device, inode), entry, &mut places))
            };
            if is_named(device) {
                sorted.named.push(inode);
                continue;
            }
            let Some(hold) = self.hold(inode) else {
                continue;
            };
            // An overlay's files may be of other devices than its directories.
            if hold.stat.links > 1 && hold.stat.device != device && is_named(hold.stat.device) {
                sorted.named.push(inode);
            } else {
                sorted.others.push(hold);
            }
        }
        sorted
    }

    /// Drops the holds of files that were not replaced, reaps those that nobody uses, and takes the
    /// set-id bits from those that are only ours.
    ///
    /// The store's mount is writable. `count` gives a tracker's number of holders of an inode, `None`
    /// for one that it does not track. Nothing but the kernel's lease ends an inode's last name.
    pub fn settle(
        &self,
        sorted: Sorted,
        leases: &impl Leases,
        count: impl Fn(u64) -> Option<u64>,
    ) -> Settled {
        let mut settled = Settled {
            strays: sorted.strays,
            ..Settled::default()
        };
        for inode in sorted.named {
            match self.remove(inode) {
                Ok(Reap::Gone) => settled.dropped.push(inode),
                Ok(_) => {}
                Err(error) => settled.failed.push(error),
            }
        }
        for hold in sorted.others {
            if let Err(error) = self.settle_one(hold, leases, &count, &mut settled) {
                settled.failed.push(error);
            }
        }
        settled
    }

    fn settle_one(
        &self,
        hold: Hold,
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
        match verdict(hold.stat.links, false, usage) {
            Verdict::Drop => {
                if self.remove(hold.inode)? == Reap::Gone {
                    settled.dropped.push(hold.inode);
                }
            }
            Verdict::Reap => {
                if probed.map_or(Ok(Reap::AlreadyGone), |free| self.unlink(free))? == Reap::Gone {
                    settled.reaped.push(hold.inode);
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

    /// Whether a name that the ledger knows still leads to the inode, and is no hold's.
    fn is_named(&self, inode: (u64, u64), entry: &Entry, places: &mut Places<'_, L>) -> bool {
        // Where the hold is the only name the ledger is wrong, not the inode.
        let leads = |stat: Stat| (stat.device, stat.inode) == inode && stat.links > 1;
        let mut names = entry.names.iter();
        names.any(|name| match places.find(&name.path) {
            Ok(Place::Below(below)) if !below.is_hold() => {
                self.links.stat(below.source()).is_ok_and(leads)
            }
            _ => false,
        })
    }
}
