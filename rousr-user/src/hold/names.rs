//! Whether held inodes still have the names that the ledger knows.

use std::path::Path;

use super::ledger::Entry;
use super::place::{Place, Places};
use super::store::DIRECTORY;
use crate::sys::links::{Links, Stat};

/// Looks for names.
pub(super) struct Names<'a, L> {
    links: &'a L,
    places: Places<'a, L>,
}

impl<'a, L: Links> Names<'a, L> {
    pub(super) fn new(links: &'a L, places: Places<'a, L>) -> Self {
        Self { links, places }
    }

    /// Whether a name that the ledger knows still leads to the inode, and is no hold's.
    pub(super) fn lead_to(&mut self, inode: (u64, u64), entry: &Entry) -> bool {
        let mut names = entry.names.iter();
        names.any(|name| self.leads_to(inode, &name.path))
    }

    fn leads_to(&mut self, inode: (u64, u64), path: &Path) -> bool {
        let below = match self.places.find(path) {
            // A hold keeps its inode anyway: it is no name to tell that by.
            Ok(Place::Below(below)) if below.directory() != DIRECTORY => below,
            _ => return false,
        };
        // Where the hold is the only name the ledger is wrong, not the inode.
        let leads = |stat: Stat| (stat.device, stat.inode) == inode && stat.links > 1;
        self.links.stat(below.source()).is_ok_and(leads)
    }
}
