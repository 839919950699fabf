//! The hold directory: finding, making and listing it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::FileType;

use super::Error;
use super::error::us;
use crate::sys::links::{DirEntry, HostLinks, Links, Source, Stat};

/// The hold directory's name at the top of a volume's mount.
pub const DIRECTORY: &str = ".rousr";

/// The hold directory as reached through one mount of its volume.
///
/// It can write where that mount can. For a window, open another one on the window's root.
#[derive(Debug)]
pub struct Store<'r, L: Links = HostLinks> {
    pub(super) links: L,
    /// The mount's root directory.
    pub(super) root: BorrowedFd<'r>,
    /// Where the volume is visible, to find the files that paths lead to.
    pub(super) mount_point: &'r Path,
    dir: OwnedFd,
}

/// One hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hold {
    /// The number of the inode that it keeps, and its name.
    pub inode: u64,
    /// The inode as it is now; `links` counts the hold itself.
    pub stat: Stat,
}

/// What the hold directory holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// The holds, by inode number.
    pub holds: Vec<Hold>,
    /// Names that are no hold's. They are told, and never touched.
    pub strays: Vec<Stray>,
}

/// The holds by their numbers alone: what a look at the directory tells, without one at each inode.
#[derive(Debug, Default)]
pub struct Census {
    /// The inode numbers, ascending.
    pub inodes: Vec<u64>,
    /// As in [`Listing::strays`].
    pub strays: Vec<Stray>,
}

/// A name in the hold directory that is not a hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{DIRECTORY}/{}: {why}; it is left alone: move it away", .name.as_bytes().escape_ascii())]
pub struct Stray {
    /// The name.
    pub name: OsString,
    /// What is wrong with it.
    pub why: &'static str,
}

impl<'r, L: Links> Store<'r, L> {
    /// The store below `root`, a root directory of the volume that is visible at `mount_point`
    /// (free of symlinks); `None` where there is no hold directory, and so no hold.
    pub fn open(
        links: L,
        root: BorrowedFd<'r>,
        mount_point: &'r Path,
    ) -> Result<Option<Self>, Error> {
        let dir = match links.open_dir(root, OsStr::new(DIRECTORY)) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(match what_instead(&links, root) {
                    Some(what) => Error::not_ours(mount_point, what),
                    None => Error::directory(mount_point, "open")(error),
                });
            }
        };
        let stat = links
            .stat_open(dir.as_fd())
            .map_err(Error::directory(mount_point, "look at"))?;
        if let Some(what) = whose_instead(&stat) {
            return Err(Error::not_ours(mount_point, what));
        }
        Ok(Some(Self {
            links,
            root,
            mount_point,
            dir,
        }))
    }

    /// Like [`Store::open`], but makes the directory where there is none.
    pub fn create(links: L, root: BorrowedFd<'r>, mount_point: &'r Path) -> Result<Self, Error> {
        match links.make_private_dir(root, OsStr::new(DIRECTORY)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::directory(mount_point, "make")(error));
            }
            _ => {}
        }
        let gone =
            || Error::directory(mount_point, "open")(io::Error::from_raw_os_error(libc::ENOENT));
        Self::open(links, root, mount_point)?.ok_or_else(gone)
    }

    /// All holds, and whatever else is found among them.
    pub fn list(&self) -> Result<Listing, Error> {
        let names = self
            .links
            .names(self.dir())
            .map_err(Error::directory(self.mount_point, "list"))?;
        let mut listing = Listing::default();
        for name in names {
            match self.look_at(&name) {
                Ok(Some(hold)) => listing.holds.push(hold),
                Ok(None) => {}
                Err(why) => listing.strays.push(Stray { name, why }),
            }
        }
        listing.holds.sort_unstable_by_key(|hold| hold.inode);
        Ok(listing)
    }

    /// All holds by their numbers, and whatever else is found among them.
    pub fn census(&self) -> Result<Census, Error> {
        let mut census = Census::default();
        for entry in self.entries()? {
            match inode_of(&entry.name) {
                Some(inode) if is_hold(&entry) => census.inodes.push(inode),
                _ => match self.look_at(&entry.name) {
                    Ok(Some(hold)) => census.inodes.push(hold.inode),
                    Ok(None) => {}
                    Err(why) => census.strays.push(Stray {
                        name: entry.name,
                        why,
                    }),
                },
            }
        }
        census.inodes.sort_unstable();
        Ok(census)
    }

    /// One hold; `None` where there is no such hold.
    pub fn hold(&self, inode: u64) -> Option<Hold> {
        self.look_at(&name_of(inode)).ok().flatten()
    }

    /// What is in the hold directory.
    pub(super) fn entries(&self) -> Result<Vec<DirEntry>, Error> {
        self.links
            .entries(self.dir())
            .map_err(Error::directory(self.mount_point, "list"))
    }

    /// A descriptor that keeps a hold's inode in memory without counting as an opener of it.
    pub fn pin(&self, inode: u64) -> Result<OwnedFd, Error> {
        self.links
            .pin(self.dir(), &name_of(inode))
            .map_err(|source| Error::Hold {
                inode,
                what: "pin it",
                source,
            })
    }

    /// The hold of that name, `None` if it is gone by now, or why it is not a hold.
    fn look_at(&self, name: &OsStr) -> Result<Option<Hold>, &'static str> {
        let inode = inode_of(name).ok_or("its name is not an inode number")?;
        match self.links.stat(Source::Below(self.dir(), name.as_ref())) {
            Ok(stat) if !stat.is_file() => Err("it is not a regular file"),
            Ok(stat) if stat.inode != inode => Err("its name is another inode's number"),
            Ok(stat) => Ok(Some(Hold { inode, stat })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err("it cannot be looked at"),
        }
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// A hold's name.
pub(super) fn name_of(inode: u64) -> OsString {
    inode.to_string().into()
}

/// The inode number that is written exactly so, without sign or leading zeros.
pub(super) fn inode_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = digits == "0" || !digits.starts_with('0');
    digits.parse().ok().filter(|_| is_plain && is_short)
}

/// Whether the directory itself tells that a name is a hold's. Where it does not, as on some overlays
/// and some old filesystems, only a look at the inode can.
pub(super) fn is_hold(entry: &DirEntry) -> bool {
    entry.kind == FileType::RegularFile && inode_of(&entry.name) == Some(entry.inode)
}

/// What stands in the place of the hold directory.
fn what_instead<L: Links>(links: &L, root: BorrowedFd<'_>) -> Option<String> {
    let what = match links
        .stat(Source::Below(root, DIRECTORY.as_ref()))
        .ok()?
        .kind()
    {
        FileType::Directory => return None,
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile => "a regular file",
        _ => "neither a file nor a directory",
    };
    Some(what.to_owned())
}

/// Whose directory it is, or who else may enter it, if it is not ours alone.
fn whose_instead(stat: &Stat) -> Option<String> {
    if stat.owner != us() {
        return Some(format!("a directory of user {}", stat.owner));
    }
    let others_may_enter = stat.mode & 0o077 != 0;
    others_may_enter.then(|| {
        format!(
            "a directory that others may enter (mode {:04o})",
            stat.mode & 0o7777
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimal_numbers_name_a_hold() {
        let cases = [
            ("1", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("0", Some(0)),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("", None),
            ("1.dpkg-tmp", None),
            ("18446744073709551616", None),
        ];
        for (name, inode) in cases {
            assert_eq!(inode_of(OsStr::new(name)), inode, "{name:?}");
        }
        assert_eq!(inode_of(OsStr::from_bytes(b"1\xff")), None);
    }
}
