//! Moving the directory entry that a holder uses into the hold directory.
//!
//! An open file keeps its directory entry in memory, and that its directory. So a file that is in
//! use keeps the superblock from read-only although it has a hold, if dpkg removes the directory
//! around it: the directory itself is the orphan then. A rename takes the entry in memory along
//! (`d_move` in the kernel's fs/dcache.c), and with it what keeps the directory.

use std::path::Path;

use super::Error;
use super::place::{Place, Places};
use super::store::{Store, name_of};
use crate::sys::links::{Links, Source};

impl<L: Links> Store<'_, L> {
    /// Makes the hold of `inode` the entry that its holders use, and `path` a new link to it.
    ///
    /// For a moment `path` is missing: only for files that are about to be removed anyway. Whether
    /// it was done; it is not where `path` leads elsewhere by now.
    ///
    /// # Errors
    ///
    /// A call failed. The file has its name again then, if the filesystem lets it.
    pub fn take_entry(&self, inode: u64, path: &Path) -> Result<bool, Error> {
        let failed = |what| {
            move |source| Error::Hold {
                inode,
                what,
                source,
            }
        };
        let hold = name_of(inode);
        let in_store = Source::Below(self.dir(), hold.as_ref());
        let mut places = Places::new(&self.links, self.mount_point);
        let Ok(Place::Below(below)) = places.find(path) else {
            return Ok(false);
        };
        let held = self.links.stat(in_store).map_err(failed("look at it"))?;
        if !self.leads_to(&below, &held) {
            return Ok(false);
        }
        // A rename onto another link of the same inode does nothing, so that link goes first.
        self.links
            .unlink(self.dir(), &hold)
            .map_err(failed("make room for its entry"))?;
        if let Err(error) = self.links.rename(self.root, &below, self.dir(), &hold) {
            self.links
                .link(Source::Below(self.root, &below), self.dir(), &hold)
                .map_err(failed("make it again"))?;
            return Err(failed("move the entry in use")(error));
        }
        if let Err(error) = self.links.link(in_store, self.root, below.as_os_str()) {
            self.links
                .rename(self.dir(), hold.as_ref(), self.root, below.as_os_str())
                .map_err(failed("give the file its name back"))?;
            return Err(failed("link the file to its name again")(error));
        }
        Ok(true)
    }
}
