//! Where a path as dpkg writes it is found below a volume's mount.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::preserve::is_missing;
use crate::sys::links::{Links, Source};

/// Where a path is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Below the mount's root; relative to it.
    Below(PathBuf),
    /// Not in the volume.
    Elsewhere,
    /// Its directory does not exist.
    Vanished,
}

/// Resolves the directories of paths, each once.
///
/// Only the directory: the last component may be a symlink, which is the package's file itself.
pub(super) struct Places<'a, L> {
    links: &'a L,
    mount_point: &'a Path,
    /// Of the mount's root; absent where it cannot be looked at.
    device: Option<u64>,
    directories: HashMap<PathBuf, Place>,
}

impl<'a, L: Links> Places<'a, L> {
    pub(super) fn new(links: &'a L, mount_point: &'a Path) -> Self {
        Self {
            links,
            mount_point,
            device: device_of(links, mount_point),
            directories: HashMap::new(),
        }
    }

    pub(super) fn find(&mut self, path: &Path) -> io::Result<Place> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Place::Elsewhere);
        };
        if !self.directories.contains_key(directory) {
            let place = self.resolve(directory)?;
            self.directories.insert(directory.to_owned(), place);
        }
        Ok(match &self.directories[directory] {
            Place::Below(directory) => Place::Below(directory.join(name)),
            other => other.clone(),
        })
    }

    fn resolve(&self, directory: &Path) -> io::Result<Place> {
        match self.links.resolve(directory) {
            Ok(resolved) => Ok(match resolved.strip_prefix(self.mount_point) {
                // Another filesystem may be mounted below.
                Ok(below) if device_of(self.links, &resolved) == self.device => {
                    Place::Below(below.to_owned())
                }
                _ => Place::Elsewhere,
            }),
            Err(error) if is_missing(&error) => Ok(Place::Vanished),
            Err(error) => Err(error),
        }
    }
}

fn device_of(links: &impl Links, directory: &Path) -> Option<u64> {
    let stat = links.stat(Source::Magic(directory)).ok()?;
    Some(stat.device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::links::HostLinks;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn finds_files_the_way_dpkg_names_them() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let root = root.path().canonicalize().expect("exists");
        fs::create_dir_all(root.join("usr/lib")).expect("creates");
        fs::create_dir(root.join("etc")).expect("creates");
        symlink("usr/lib", root.join("lib")).expect("links");

        let usr = root.join("usr");
        let mut places = Places::new(&HostLinks, &usr);
        let below = |path: &str| Place::Below(path.into());
        let cases = [
            ("usr/lib/x.so", below("lib/x.so")),
            ("lib/x.so", below("lib/x.so")),
            ("lib", Place::Elsewhere),
            ("usr/x", below("x")),
            ("usr/lib/../y", below("y")),
            ("etc/passwd", Place::Elsewhere),
            ("usr/gone/x", Place::Vanished),
        ];
        for (path, place) in cases {
            assert_eq!(
                places.find(&root.join(path)).expect("resolves"),
                place,
                "{path}"
            );
        }
        assert_eq!(
            places.find(Path::new("/")).expect("resolves"),
            Place::Elsewhere
        );
    }
}
