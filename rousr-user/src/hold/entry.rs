//! Moving the directory entry that a holder uses into the hold directory.
//!
//! An open file keeps its directory entry in memory, and that its directory. So a file that is in
//! use keeps the superblock from read-only although it has a hold, if dpkg removes the directory
//! around it: the directory itself is the orphan then. A rename takes the entry in memory along
//! (`d_move` in the kernel's fs/dcache.c), and with it what keeps the directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::Error;
use super::place::{Place, Places};
use super::store::{DIRECTORY, Store, name_of};
use crate::sys::links::{Links, Source};

impl<L: Links> Store<'_, L> {
    /// Makes the hold of `inode` the entry that its holders use, and `path` a new link to it.
    ///
    /// The kernel takes a rename between two links of one inode for done, so the entry changes
    /// places with a symlink that leads to the hold: the name is never missing. Whether it was
    /// done; it is not where `path` leads elsewhere by now.
    ///
    /// # Errors
    ///
    /// A call failed. The file has its name again then, if the filesystem lets it.
    pub fn take_entry(&self, inode: u64, path: &Path) -> Result<bool, Error> {
        let mut places = Places::new(&self.links, self.mount_point);
        let Ok(Place::Below(name)) = places.find(path) else {
            return Ok(false);
        };
        let hold = name_of(inode);
        let found = self.links.stat(Source::Below(self.dir(), hold.as_ref()));
        match found {
            Ok(held) if self.leads_to(&name, &held) => {}
            _ => return Ok(false),
        }
        self.swap(&name, &hold)
            .map(|()| true)
            .map_err(|source| Error::Hold {
                inode,
                what: "take over the entry in use",
                source,
            })
    }

    fn swap(&self, name: &Path, hold: &OsStr) -> io::Result<()> {
        let (links, top, store) = (&self.links, self.root, self.dir());
        let entry = OsString::from_iter([hold, OsStr::new(".entry")]);
        let entry = Path::new(&entry);
        let target = self.mount_point.join(DIRECTORY).join(hold);
        links.make_symlink(&target, store, entry)?;
        if let Err(error) = links.exchange(top, name, store, entry) {
            links.unlink(store, entry.as_os_str())?;
            return Err(error);
        }
        if let Err(error) = links.rename(store, hold.as_ref(), top, name) {
            links.exchange(top, name, store, entry)?;
            links.unlink(store, entry.as_os_str())?;
            return Err(error);
        }
        links.rename(store, entry, store, hold.as_ref())
    }
}
