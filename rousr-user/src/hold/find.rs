//! Names found by a walk over the whole volume: what a lost ledger knew.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::preserve::{Name, is_missing};
use super::store::{DIRECTORY, Store};
use crate::sys::links::{DirEntry, Links, Source};

/// What dpkg appends to names that are there while it unpacks, and after it was interrupted
/// (DPKGNEWEXT and DPKGTEMPEXT in its lib/dpkg/dpkg.h).
const PASSING: [&[u8]; 2] = [b".dpkg-new", b".dpkg-tmp"];

/// The name that a file has once dpkg is done with it, or had before; a name that goes by itself keeps nothing.
pub(super) fn lasting(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let lasting = PASSING
        .iter()
        .find_map(|suffix| bytes.strip_suffix(*suffix));
    match lasting {
        Some(name) => OsString::from_vec(name.to_vec()).into(),
        None => path,
    }
}

impl<L: Links> Store<'_, L> {
    /// The names of these inodes, without those that go by themselves.
    ///
    /// # Errors
    ///
    /// A directory cannot be read.
    pub fn find_names(&self, inodes: &BTreeSet<u64>) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        self.walk(|path, entry| {
            let passes = |suffix: &&[u8]| entry.name.as_bytes().ends_with(suffix);
            if inodes.contains(&entry.inode) && !PASSING.iter().any(passes) {
                names.push(Name {
                    inode: entry.inode,
                    path: self.mount_point.join(path),
                    origin: None,
                });
            }
        })?;
        Ok(names)
    }

    /// A symlink to `target`, relative to the mount's root.
    pub(super) fn find_symlink(&self, target: &Path) -> io::Result<Option<PathBuf>> {
        let mut found = None;
        self.walk(|path, entry| {
            let may_lead = matches!(entry.kind, FileType::Symlink | FileType::Unknown);
            let leads = |to: PathBuf| to == target;
            if may_lead
                && self
                    .links
                    .read_link(&self.mount_point.join(path))
                    .is_ok_and(leads)
            {
                found = Some(path.to_owned());
            }
        })?;
        Ok(found)
    }

    /// Visits every name of the volume but those in the hold directory. Paths are relative to the
    /// mount's root; what is mounted below is left out.
    fn walk(&self, mut visit: impl FnMut(&Path, &DirEntry)) -> io::Result<()> {
        let device = self.links.stat_open(self.dir())?.device;
        let mut left = vec![PathBuf::from(".")];
        while let Some(folder) = left.pop() {
            let dir = match self.links.open_dir(self.root, folder.as_os_str()) {
                Ok(dir) => dir,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(error),
            };
            if self.links.stat_open(dir.as_fd())?.device != device {
                continue;
            }
            for entry in self.links.entries(dir.as_fd())? {
                let path = match folder.as_os_str() == "." {
                    true => PathBuf::from(&entry.name),
                    false => folder.join(&entry.name),
                };
                visit(&path, &entry);
                if self.is_directory(&path, &entry) && path != Path::new(DIRECTORY) {
                    left.push(path);
                }
            }
        }
        Ok(())
    }

    fn is_directory(&self, path: &Path, entry: &DirEntry) -> bool {
        match entry.kind {
            FileType::Directory => true,
            FileType::Unknown => (self.links.stat(Source::Below(self.root, path)))
                .is_ok_and(|stat| stat.kind() == FileType::Directory),
            _ => false,
        }
    }
}
