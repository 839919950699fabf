//! Where a path as dpkg writes it is found below a volume's mount.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::preserve::is_missing;
use super::store::DIRECTORY;
use crate::sys::links::{Links, Source};

/// Directories that are kept open, of those that were asked for last: fewer than apt's limit of descriptors.
const OPEN: usize = 256;

/// Where a path is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'p> {
    /// Below the mount's root.
    Below(Below<'p>),
    /// Not in the volume.
    Elsewhere,
    /// Its directory does not exist.
    Vanished,
}

/// A name in an open directory below the mount's root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below<'p> {
    dir: BorrowedFd<'p>,
    /// The directory's path, relative to the root.
    folder: &'p Path,
    name: &'p OsStr,
}

impl<'p> Below<'p> {
    /// Whether it is an entry of the hold directory: no name to tell by that an inode is kept.
    pub(super) fn is_hold(&self) -> bool {
        self.folder == DIRECTORY
    }

    /// For the calls: the kernel looks up the name alone.
    pub(super) fn source(&self) -> Source<'p> {
        Source::Below(self.dir, self.name.as_ref())
    }

    /// Relative to the mount's root.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }
}

/// Resolves and opens the directories of paths, each once as long as paths come in some order.
///
/// Only the directory: the last component may be a symlink, which is the package's file itself.
pub(super) struct Places<'a, L> {
    links: &'a L,
    root: BorrowedFd<'a>,
    mount_point: &'a Path,
    /// Of the mount's root; absent where it cannot be looked at.
    device: Option<u64>,
    directories: Vec<(OsString, Directory)>,
    /// Where each is among them.
    numbers: HashMap<OsString, usize>,
    /// The number of the one that was asked for last: it will be again.
    last: usize,
}

enum Directory {
    Below { path: PathBuf, opened: OwnedFd },
    Elsewhere,
    Vanished,
}

impl<'a, L: Links> Places<'a, L> {
    /// Below `root`, a root directory of the volume that is visible at `mount_point`.
    pub(super) fn new(links: &'a L, root: BorrowedFd<'a>, mount_point: &'a Path) -> Self {
        Self {
            links,
            root,
            mount_point,
            device: device_of(links, mount_point),
            directories: Vec::new(),
            numbers: HashMap::new(),
            last: 0,
        }
    }

    pub(super) fn find<'p>(&'p mut self, path: &'p Path) -> io::Result<Place<'p>> {
        let Some((directory, name)) = split(path) else {
            return Ok(Place::Elsewhere);
        };
        self.last = self.number(directory)?;
        Ok(match &self.directories[self.last].1 {
            Directory::Below { path, opened } => Place::Below(Below {
                dir: opened.as_fd(),
                folder: path,
                name,
            }),
            Directory::Elsewhere => Place::Elsewhere,
            Directory::Vanished => Place::Vanished,
        })
    }

    fn number(&mut self, directory: &Path) -> io::Result<usize> {
        let is_last = |(path, _): &(OsString, _)| path == directory.as_os_str();
        if self.directories.get(self.last).is_some_and(is_last) {
            return Ok(self.last);
        }
        if let Some(&number) = self.numbers.get(directory.as_os_str()) {
            return Ok(number);
        }
        let found = self.open(directory)?;
        if self.directories.len() >= OPEN {
            self.directories.clear();
            self.numbers.clear();
        }
        let number = self.directories.len();
        self.directories.push((directory.into(), found));
        self.numbers.insert(directory.into(), number);
        Ok(number)
    }

    fn open(&self, directory: &Path) -> io::Result<Directory> {
        let opened = self.links.resolve(directory).and_then(|resolved| {
            // Another filesystem may be mounted below.
            let is_here = device_of(self.links, &resolved) == self.device;
            let Some(path) = (resolved.strip_prefix(self.mount_point).ok()).filter(|_| is_here)
            else {
                return Ok(Directory::Elsewhere);
            };
            let from_root = if path == Path::new("") {
                Path::new(".")
            } else {
                path
            };
            Ok(Directory::Below {
                opened: self.links.open_dir(self.root, from_root.as_os_str())?,
                path: path.to_owned(),
            })
        });
        match opened {
            Err(error) if is_missing(&error) => Ok(Directory::Vanished),
            other => other,
        }
    }
}

/// A path's directory and last component.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    // As dpkg writes paths, there is nothing to normalise, which takes longer.
    let bytes = path.as_os_str().as_bytes();
    if let Some(slash) = bytes.iter().rposition(|&byte| byte == b'/') {
        let (directory, name) = (&bytes[..slash], &bytes[slash + 1..]);
        if !matches!(name, b"" | b"." | b"..") && !matches!(directory, b"" | [.., b'/']) {
            return Some((
                Path::new(OsStr::from_bytes(directory)),
                OsStr::from_bytes(name),
            ));
        }
    }
    Some((path.parent()?, path.file_name()?))
}

fn device_of(links: &impl Links, directory: &Path) -> Option<u64> {
    let stat = links.stat(Source::Magic(directory)).ok()?;
    Some(stat.device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::links::HostLinks;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    /// What is told of a place: its path from the mount's root, or why it has none.
    fn told(place: Place<'_>) -> String {
        match place {
            Place::Below(below) => below.path().display().to_string(),
            Place::Elsewhere => "elsewhere".to_owned(),
            Place::Vanished => "vanished".to_owned(),
        }
    }

    #[test]
    fn finds_files_the_way_dpkg_names_them() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let root = root.path().canonicalize().expect("exists");
        fs::create_dir_all(root.join("usr/lib")).expect("creates");
        fs::create_dir(root.join("etc")).expect("creates");
        symlink("usr/lib", root.join("lib")).expect("links");

        let usr = root.join("usr");
        let opened = File::open(&usr).expect("opens");
        let mut places = Places::new(&HostLinks, opened.as_fd(), &usr);
        let cases = [
            ("usr/lib/x.so", "lib/x.so"),
            ("lib/x.so", "lib/x.so"),
            ("lib", "elsewhere"),
            ("usr/x", "x"),
            ("usr/lib/../y", "y"),
            ("etc/passwd", "elsewhere"),
            ("usr/gone/x", "vanished"),
            ("/", "elsewhere"),
        ];
        for (path, expected) in cases {
            let path = root.join(path);
            let place = places.find(&path).expect("resolves");
            assert_eq!(told(place), expected, "{}", path.display());
        }
    }

    #[test]
    fn a_name_is_looked_up_in_its_directory_however_many_there_are() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let root = root.path().canonicalize().expect("exists");
        let opened = File::open(&root).expect("opens");
        let mut places = Places::new(&HostLinks, opened.as_fd(), &root);
        let mut inodes = Vec::new();
        for number in 0..OPEN + 2 {
            let folder = root.join(number.to_string());
            fs::create_dir(&folder).expect("creates");
            fs::write(folder.join("file"), "").expect("writes");
            inodes.push(
                HostLinks
                    .stat(Source::Magic(&folder.join("file")))
                    .expect("is there"),
            );
        }
        for round in 0..2 {
            for (number, expected) in inodes.iter().enumerate() {
                let path = root.join(number.to_string()).join("file");
                let Ok(Place::Below(below)) = places.find(&path) else {
                    panic!("{} in round {round}", path.display())
                };
                assert_eq!(HostLinks.stat(below.source()).expect("is there"), *expected);
            }
            assert!(places.directories.len() <= OPEN);
        }
    }
}
