//! What this process knows of the ledger from having written it: that need not be read again.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Entries;

/// The entries of a file as it was left, until they are taken.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Option<(Stamp, Entries)>>);

/// Tells whether another process has written to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the last change.
    changed: (i64, i64),
}

impl Recent {
    /// The file at `path` says this, and no more.
    pub(super) fn put(&self, path: &Path, entries: Entries) {
        let stamp = fs::metadata(path).ok().map(|file| Stamp::from(&file));
        *self.known() = stamp.map(|stamp| (stamp, entries));
    }

    /// What the file at `path` says, if that is known. A file that is missing or empty says nothing.
    pub(super) fn take(&self, path: &Path) -> Option<Entries> {
        let known = self.known().take();
        match fs::metadata(path) {
            Ok(file) if file.len() == 0 => Some(Entries::new()),
            Ok(file) => {
                let is = Stamp::from(&file);
                known.and_then(|(was, entries)| (was == is).then_some(entries))
            }
            Err(error) => (error.kind() == io::ErrorKind::NotFound).then(Entries::new),
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<(Stamp, Entries)>> {
        // Set and taken at once: a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy reads for itself.
impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}
