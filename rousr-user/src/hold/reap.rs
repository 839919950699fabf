//! Removing one hold: the probe before the window opens, the unlink inside it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use super::Error;
use super::store::{Store, name_of};
use crate::sys::lease::Leases;
use crate::sys::links::{Links, Source, Stat};

/// Whether a hold can go.
#[derive(Debug)]
pub enum Probe {
    /// It can: [`Store::unlink`] it.
    Free(Probed),
    /// Somebody uses its inode.
    InUse,
    /// There is no such hold.
    Gone,
}

/// A hold that can go. It keeps the inode open, so that its number means this inode and no other.
#[derive(Debug)]
pub struct Probed {
    stat: Stat,
    /// Closed after the unlink, and so inside the window: while it is open the inode is an orphan.
    file: OwnedFd,
}

/// What became of a hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reap {
    /// It is removed.
    Gone,
    /// It stays: somebody uses its inode.
    InUse,
    /// It was removed before.
    AlreadyGone,
}

impl Probed {
    /// The inode's number.
    pub fn inode(&self) -> u64 {
        self.stat.inode
    }

    /// Whether the hold is not the inode's only name.
    pub fn has_other_names(&self) -> bool {
        self.stat.links > 1
    }

    /// The bytes that the inode has allocated on disk.
    pub fn allocated(&self) -> u64 {
        self.stat.allocated
    }
}

impl<L: Links> Store<'_, L> {
    /// Asks the kernel whether a hold can go. Works on a read-only filesystem.
    ///
    /// While the inode has another name, removing the hold is harmless, and nobody is asked: a
    /// lease on an inode with a public name disturbs whoever opens it.
    pub fn probe(&self, inode: u64, leases: &impl Leases) -> Result<Probe, Error> {
        let Some((stat, file)) = self.open_hold(inode)? else {
            return Ok(Probe::Gone);
        };
        if stat.links > 1 {
            return Ok(Probe::Free(Probed { stat, file }));
        }
        let is_sole = leases
            .sole_opener(file.as_fd())
            .map_err(Error::hold(inode, "ask for a lease on it"))?;
        Ok(if is_sole {
            Probe::Free(Probed { stat, file })
        } else {
            Probe::InUse
        })
    }

    /// Removes a hold that can go, through this store's mount, and frees its inode.
    pub fn unlink(&self, probed: Probed) -> Result<Reap, Error> {
        let Probed { stat, file } = probed;
        let name = name_of(stat.inode);
        match self.links.stat(Source::Below(self.dir(), name.as_ref())) {
            Ok(found) if !found.same_inode(&stat) => {
                return Err(Error::Stray {
                    inode: stat.inode,
                    found,
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reap::AlreadyGone),
            Err(error) => return Err(Error::hold(stat.inode, "look at it")(error)),
        }
        let outcome = self.remove(stat.inode);
        drop(file);
        outcome
    }

    /// Probes and removes a hold, where the store's mount is writable anyway.
    pub fn reap(&self, inode: u64, leases: &impl Leases) -> Result<Reap, Error> {
        match self.probe(inode, leases)? {
            Probe::Free(probed) => self.unlink(probed),
            Probe::InUse => Ok(Reap::InUse),
            Probe::Gone => Ok(Reap::AlreadyGone),
        }
    }

    pub(super) fn remove(&self, inode: u64) -> Result<Reap, Error> {
        match self.links.unlink(self.dir(), &name_of(inode)) {
            Ok(()) => Ok(Reap::Gone),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Reap::AlreadyGone),
            Err(error) => Err(Error::hold(inode, "remove it")(error)),
        }
    }

    /// Clears the set-id bits of a hold's inode.
    pub(super) fn disarm(&self, inode: u64) -> Result<(), Error> {
        let Some((stat, file)) = self.open_hold(inode)? else {
            return Ok(());
        };
        self.links
            .clear_set_id(file.as_fd(), stat.mode)
            .map_err(Error::hold(inode, "clear its set-id bits"))
    }

    fn open_hold(&self, inode: u64) -> Result<Option<(Stat, OwnedFd)>, Error> {
        let file = match self.links.open_file(self.dir(), &name_of(inode)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::hold(inode, "open it")(error)),
        };
        let stat = self
            .links
            .stat_open(file.as_fd())
            .map_err(Error::hold(inode, "look at it"))?;
        if !stat.is_file() || stat.inode != inode {
            return Err(Error::Stray { inode, found: stat });
        }
        Ok(Some((stat, file)))
    }
}
