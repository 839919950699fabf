//! Moving the directory entry that a holder uses into the hold directory.
//!
//! An open file keeps its directory entry in memory, and that its directory. So a file that is in
//! use keeps the superblock from read-only although it has a hold, if dpkg removes the directory
//! around it: the directory itself is the orphan then. A rename takes the entry in memory along
//! (`d_move` in the kernel's fs/dcache.c), and with it what keeps the directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::ledger::Entries;
use super::place::{Place, Places};
use super::store::{DIRECTORY, Store, Stray, inode_of, name_of};
use crate::sys::links::{Links, Source};

impl<L: Links> Store<'_, L> {
    /// Makes the hold of `inode` the entry that its holders use, and `path` a new link to it.
    ///
    /// The kernel takes a rename between two links of one inode for done, so the entry changes
    /// places with a symlink that leads to the hold: the name is never missing, but for a moment none
    /// but root can follow it. Whether it was done; it is not where `path` leads elsewhere by now.
    ///
    /// # Errors
    ///
    /// A call failed. The file has its name again then, if the filesystem lets it.
    pub fn take_entry(&self, inode: u64, path: &Path) -> Result<bool, Error> {
        let mut places = Places::new(&self.links, self.root, self.mount_point);
        let Ok(Place::Below(name)) = places.find(path) else {
            return Ok(false);
        };
        let hold = name_of(inode);
        let found = self.links.stat(Source::Below(self.dir(), hold.as_ref()));
        match found {
            Ok(held) if self.leads_to(name.source(), &held) => {}
            _ => return Ok(false),
        }
        self.swap(&name.path(), &hold)
            .map(|()| true)
            .map_err(|source| Error::Hold {
                inode,
                what: "take over the entry in use",
                source,
            })
    }

    /// Whether `user`, a magic link to the inode, has it by the hold's entry: taken before, and taken once more
    /// it would change places with the name again.
    pub fn has_entry(&self, inode: u64, user: &Path) -> bool {
        let hold = Path::new(DIRECTORY).join(name_of(inode));
        let used = self.links.read_link(user);
        used.is_ok_and(|used| used.ends_with(hold))
    }

    fn swap(&self, name: &Path, hold: &OsStr) -> io::Result<()> {
        let (links, top, store) = (&self.links, self.root, self.dir());
        let entry = entry_of(hold);
        let entry = Path::new(&entry);
        links.make_symlink(&self.target(hold), store, entry)?;
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

    /// Brings a move to its end that a crash cut short: forwards where the entries have changed places,
    /// else back. `known` is asked first where the symlink may be.
    ///
    /// # Errors
    ///
    /// A call failed; it can be tried again.
    pub fn resume_taking(&self, inode: u64, known: &Entries) -> Result<(), Error> {
        self.resume(inode, known)
            .map_err(Error::hold(inode, "take over the entry in use"))
    }

    fn resume(&self, inode: u64, known: &Entries) -> io::Result<()> {
        let (links, store) = (&self.links, self.dir());
        let hold = name_of(inode);
        let entry = entry_of(&hold);
        let target = self.target(&hold);
        let found = links.stat(Source::Below(store, entry.as_ref()))?;
        let path = self.mount_point.join(DIRECTORY).join(&entry);
        if links.read_link(&path).is_ok_and(|to| to == target) {
            return links.unlink(store, &entry);
        }
        // Somebody else's: it is told as a stray.
        if !found.is_file() || found.inode != inode {
            return Ok(());
        }
        let held = links.stat(Source::Below(store, hold.as_ref()));
        let is_held = held.is_ok_and(|held| held.same_inode(&found));
        match self.symlink_to(&target, inode, known)? {
            Some(name) => {
                if !is_held {
                    links.link(Source::Below(store, entry.as_ref()), store, &hold)?;
                }
                links.rename(store, hold.as_ref(), self.root, &name)?;
            }
            // The name is a link again, or dpkg has removed it.
            None if is_held => links.unlink(store, &hold)?,
            None => {}
        }
        links.rename(store, entry.as_ref(), store, hold.as_ref())
    }

    /// The symlink that stands in for a file, relative to the mount's root.
    fn symlink_to(
        &self,
        target: &Path,
        inode: u64,
        known: &Entries,
    ) -> io::Result<Option<PathBuf>> {
        let mut places = Places::new(&self.links, self.root, self.mount_point);
        let names = known.get(&inode).map_or(&[][..], |entry| &entry.names);
        for name in names {
            let leads = self
                .links
                .read_link(&name.path)
                .is_ok_and(|to| to == target);
            if leads && let Place::Below(name) = places.find(&name.path)? {
                return Ok(Some(name.path()));
            }
        }
        self.find_symlink(target)
    }

    fn target(&self, hold: &OsStr) -> PathBuf {
        self.mount_point.join(DIRECTORY).join(hold)
    }
}

/// The inodes whose entry was on its move when a crash came: [`Store::resume_taking`].
pub fn interrupted(strays: &[Stray]) -> Vec<u64> {
    let names = strays.iter().map(|stray| stray.name.as_bytes());
    names
        .filter_map(|name| inode_of(OsStr::from_bytes(name.strip_suffix(SUFFIX.as_bytes())?)))
        .collect()
}

const SUFFIX: &str = ".entry";

/// The name of an entry on its move.
fn entry_of(hold: &OsStr) -> OsString {
    OsString::from_iter([hold, OsStr::new(SUFFIX)])
}
