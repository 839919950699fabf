//! Holds for files that are opened while the volume is open, by the paths that the kernel tells.

use std::path::Path;

use super::find::lasting;
use super::place::{Place, Places};
use super::preserve::{Check, Name, Outcome};
use super::store::Store;
use crate::sys::links::Links;

/// What became of files that were opened.
#[derive(Debug, Default)]
pub struct Caught {
    /// A name of each inode that got a hold.
    pub names: Vec<Name>,
    /// Inodes that had one.
    pub already: u64,
    /// Inodes that have none: their path leads elsewhere, by now or seen from here, or the filesystem refuses.
    pub missed: u64,
}

impl<L: Links> Store<'_, L> {
    /// Makes a hold for each of these inodes that its path still leads to.
    ///
    /// Where a name was taken before, nothing can be done: an inode without a name cannot be linked.
    pub fn preserve_opened<'p>(
        &self,
        opened: impl IntoIterator<Item = (u64, Option<&'p Path>)>,
    ) -> Caught {
        let mut places = Places::new(&self.links, self.root, self.mount_point);
        let mut caught = Caught::default();
        for (inode, path) in opened {
            if self.hold(inode).is_some() {
                caught.already += 1;
                continue;
            }
            match path.and_then(|path| self.catch(&mut places, inode, path)) {
                Some(name) => caught.names.push(name),
                None => caught.missed += 1,
            }
        }
        caught
    }

    /// The name of a hold that is new. Paths out of the mount are of others' making, and may lead to a
    /// filesystem that does not answer.
    fn catch(&self, places: &mut Places<'_, L>, inode: u64, path: &Path) -> Option<Name> {
        if !path.starts_with(self.mount_point) {
            return None;
        }
        let Ok(Place::Below(below)) = places.find(path) else {
            return None;
        };
        let found = self.links.stat(below.source()).ok()?;
        if found.inode != inode || !found.is_file() {
            return None;
        }
        match self.make_hold(below.source(), Check::Now) {
            Ok(Outcome::New(held)) => Some(Name {
                inode: held.inode,
                path: lasting(path.to_owned()),
                origin: None,
            }),
            _ => None,
        }
    }
}
