//! The store on real filesystems, with calls that fail at will in between.

mod directory;
mod entry;
mod faulty;
mod in_use;
mod ledger;
mod model;
mod newcomers;
mod preserve;
mod settle;

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ledger::{Entries, Entry};
use super::preserve::{Candidate, Name, Origin};
use super::settle::Settled;
use super::store::{DIRECTORY, Store};
use crate::sys::lease::Leases;
use crate::sys::links::{HostLinks, Links};
use crate::sys::mount::{HostMounts, Mounts as _};

/// A directory that plays the volume's mount.
struct Sandbox {
    _temporary: tempfile::TempDir,
    mount_point: PathBuf,
    root: OwnedFd,
}

impl Sandbox {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mount_point = temporary.path().canonicalize().expect("exists");
        let root = HostMounts.open(&mount_point).expect("opens");
        Self {
            _temporary: temporary,
            mount_point,
            root,
        }
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn store(&self) -> Store<'_> {
        self.store_with(HostLinks)
    }

    fn store_with<L: Links>(&self, links: L) -> Store<'_, L> {
        Store::create(links, self.root(), &self.mount_point).expect("a store")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount_point.join(name)
    }

    fn hold_path(&self, inode: u64) -> PathBuf {
        self.path(DIRECTORY).join(inode.to_string())
    }

    /// Makes a file, and gives its inode number.
    fn file(&self, name: &str) -> u64 {
        fs::write(self.path(name), name).expect("writes");
        inode(&self.path(name))
    }

    /// Puts a new inode in the place of a file, as dpkg does.
    fn replace(&self, name: &str) {
        let new = self.path(&format!("{name}.dpkg-new"));
        fs::write(&new, "new").expect("writes");
        fs::rename(new, self.path(name)).expect("renames");
    }

    fn candidates(&self, names: &[&str]) -> Vec<Candidate> {
        names
            .iter()
            .map(|name| Candidate {
                path: self.path(name),
                origin: None,
            })
            .collect()
    }

    /// Settles as a transaction does.
    fn settle<L: Links>(
        store: &Store<'_, L>,
        entries: &Entries,
        leases: &impl Leases,
        count: impl Fn(u64) -> Option<u64>,
    ) -> Settled {
        let sorted = store.sort(store.census().expect("lists"), entries);
        store.settle(sorted, leases, count)
    }

    /// The numbers of all holds.
    fn holds(&self) -> Vec<u64> {
        self.store()
            .list()
            .expect("lists")
            .holds
            .iter()
            .map(|hold| hold.inode)
            .collect()
    }
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("exists").ino()
}

fn entries(names: impl IntoIterator<Item = Name>) -> Entries {
    let mut entries = Entries::new();
    for name in names {
        let fresh = Entry {
            since_unix_milliseconds: 0,
            names: Vec::new(),
        };
        entries.entry(name.inode).or_insert(fresh).names.push(name);
    }
    entries
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin {
        package: "libdemo1".into(),
        old_version: "1.0-1".into(),
        new_version: Some("1.0-2".into()),
    })
}
