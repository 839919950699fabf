//! Files in use that go without a successor: the directories around them may go, too, and must not be kept
//! by them.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use crate::{
    dpkg::{
        archive::{self, ArchiveError},
        database::View,
        hook::{Action, Kind},
    },
    hold::{Preserved, Store, preserve::Name},
    sys::links::Links,
};

/// Has those in use among `listed` use an entry of the hold directory instead: all of a removed package, and
/// what the new archive of an upgraded one lacks. Only archives of packages with a file in use are read.
pub(super) fn free_directories<L: Links>(
    store: &Store<'_, L>,
    actions: &[Action],
    view: &View,
    listed: &Preserved,
    used: &HashMap<u64, PathBuf>,
    warnings: &mut Vec<String>,
) {
    let mut archives = Archives {
        actions,
        view,
        read: HashMap::new(),
    };
    for name in &listed.names {
        let Some(user) = used.get(&name.inode) else {
            continue;
        };
        if store.has_entry(name.inode, user) {
            continue;
        }
        match archives.drop(name) {
            Ok(true) => {
                if let Err(error) = store.take_entry(name.inode, &name.path) {
                    warnings.push(error.to_string());
                }
            }
            Ok(false) => {}
            Err(error) => warnings.push(format!("a directory that is dropped may block: {error}")),
        }
    }
}

/// What upgraded packages will have, read as it is asked for.
struct Archives<'a> {
    actions: &'a [Action],
    view: &'a View,
    read: HashMap<String, HashSet<PathBuf>>,
}

impl Archives<'_> {
    /// Whether nothing takes the name's place. An archive that cannot be read is told once.
    fn drop(&mut self, name: &Name) -> Result<bool, ArchiveError> {
        let Some(origin) = &name.origin else {
            return Ok(false);
        };
        if origin.new_version.is_none() {
            return Ok(true);
        }
        if let Some(files) = self.read.get(&origin.package) {
            return Ok(!files.is_empty() && !files.contains(&name.path));
        }
        let files = self.files_of(&origin.package);
        let (files, error) = match files {
            Ok(files) => (files, None),
            Err(error) => (HashSet::new(), Some(error)),
        };
        let is_dropped = !files.is_empty() && !files.contains(&name.path);
        self.read.insert(origin.package.clone(), files);
        error.map_or(Ok(is_dropped), Err)
    }

    /// Of all its architectures that are unpacked. Of an archive that is missing dpkg tells itself.
    fn files_of(&self, package: &str) -> Result<HashSet<PathBuf>, ArchiveError> {
        let mut files = HashSet::new();
        for action in self
            .actions
            .iter()
            .filter(|action| action.package == package)
        {
            if let Kind::Unpack(deb) = &action.kind
                && deb.exists()
            {
                let list = archive::files_list(deb)?;
                files.extend(self.view.stored_files(&list, package));
            }
        }
        Ok(files)
    }
}
