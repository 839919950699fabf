//! Making holds before dpkg replaces or removes files.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::lasting;
use super::place::{Place, Places};
use super::reap::Reap;
use super::store::{Store, inode_of, is_hold, name_of};
use crate::sys::links::{Links, Source, Stat};

/// The package that a file belongs to, and what is about to happen to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The package's name.
    pub package: String,
    /// The version that the file is of.
    pub old_version: String,
    /// The version that replaces it; `None` if the package is removed.
    pub new_version: Option<String>,
}

/// A file that may be replaced or removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Its absolute path, symlinks such as `/lib` and all.
    pub path: PathBuf,
    /// Where it comes from, if that is known.
    pub origin: Option<Arc<Origin>>,
}

/// A name of a held inode, for the ledger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name {
    /// The held inode's number.
    pub inode: u64,
    /// The path that led to it.
    pub path: PathBuf,
    /// Where it comes from, if that is known.
    pub origin: Option<Arc<Origin>>,
}

/// What became of the candidates.
#[derive(Debug, Default)]
pub struct Preserved {
    /// Holds made.
    pub held: u64,
    /// The bytes that their inodes have allocated on disk.
    pub bytes: u64,
    /// Candidates whose inode had a hold, from an earlier run or by another of its names.
    pub already: u64,
    /// Candidates that do not exist.
    pub vanished: u64,
    /// Candidates outside of the volume, or not regular files: none of the store's business.
    pub ignored: u64,
    /// Inodes in use that have no name any more: no hold can be made, and they block the superblock.
    pub orphans: Vec<u64>,
    /// The names of all held inodes among the candidates.
    pub names: Vec<Name>,
    /// How many holds there are then, whoever made them, where a look at the hold directory told it.
    pub there: Option<u64>,
    /// Candidates that should have a hold and have none.
    pub skipped: Vec<Skipped>,
    /// Why not all candidates were looked at.
    pub stopped: Option<Stopped>,
}

/// A file that is left without a hold.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; if it is in use when it is replaced, it blocks the superblock", super::escape::escape(.path))]
pub struct Skipped {
    /// Its path.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub reason: Reason,
}

/// Why a file is left without a hold.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Another filesystem, or another mount of this one, is mounted above it.
    #[error("it is on another mount, or of another project than the hold directory (lsattr -p)")]
    OtherMount,
    /// It has as many names as the filesystem allows.
    #[error("it has too many hard links already")]
    TooManyLinks,
    /// It is immutable or append-only.
    #[error("it is immutable (lsattr)")]
    Immutable,
    /// It was replaced while a hold was made, each time.
    #[error("it keeps being replaced by somebody else")]
    Changing,
    /// The hold directory has its inode's number as the name of something else.
    #[error("its hold's name {0} is taken by another inode")]
    Occupied(u64),
    /// Another error.
    #[error("{0}")]
    Failed(#[source] io::Error),
}

/// Why no more holds are made: one error for all files that are left.
#[derive(Debug, thiserror::Error)]
#[error("no more holds can be made ({cause}), {left} files are left without; {}", self.next_step())]
pub struct Stopped {
    /// The error.
    #[source]
    pub cause: io::Error,
    /// How many candidates were not looked at, the one that failed included.
    pub left: u64,
}

impl Stopped {
    fn next_step(&self) -> &'static str {
        match self.cause.raw_os_error() {
            Some(libc::EPERM | libc::EOPNOTSUPP) => {
                "the filesystem has no hard links, or we are not root: those in use will block the superblock"
            }
            _ => super::error::next_step(&self.cause),
        }
    }
}

/// How often a file may be replaced while its hold is made.
const ATTEMPTS: usize = 4;

/// When a new hold is compared with what was looked at before: somebody may have replaced the file in between.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Check {
    Now,
    /// All at once, by [`Store::check`].
    Later,
}

pub(super) enum Outcome {
    New(Stat),
    Already(Stat),
    Orphan(Stat),
    Ignored,
    Vanished,
}

impl<L: Links> Store<'_, L> {
    /// Makes a hold for each inode that a candidate leads to, without following a symlink in its
    /// last component.
    ///
    /// Nothing here is fatal: what could not be held is in the result.
    pub fn preserve(&self, candidates: impl IntoIterator<Item = Candidate>) -> Preserved {
        let mut places = Places::new(&self.links, self.root, self.mount_point);
        let mut preserved = Preserved::collect(candidates, |preserved, candidate| {
            let outcome = self.hold_at(&mut places, &candidate.path, Check::Later);
            preserved.note(candidate, outcome);
        });
        self.check(&mut preserved, &mut places);
        preserved
    }

    fn hold_at(
        &self,
        places: &mut Places<'_, L>,
        path: &Path,
        check: Check,
    ) -> Result<Outcome, Reason> {
        match places.find(path) {
            Ok(Place::Below(below)) => self.make_hold(below.source(), check),
            Ok(Place::Elsewhere) => Ok(Outcome::Ignored),
            Ok(Place::Vanished) => Ok(Outcome::Vanished),
            Err(error) => Err(Reason::Failed(error)),
        }
    }

    /// Makes holds anew that are of another inode than was looked at before: one look at the hold
    /// directory tells for all of them.
    fn check(&self, preserved: &mut Preserved, places: &mut Places<'_, L>) {
        let doubtful: HashSet<u64> = match self.entries() {
            Ok(entries) => {
                let numbers = entries
                    .iter()
                    .filter_map(|entry| Some((inode_of(&entry.name)?, is_hold(entry))));
                let (holds, doubtful): (Vec<_>, Vec<_>) =
                    numbers.partition(|(_, is_hold)| *is_hold);
                preserved.there = doubtful.is_empty().then_some(holds.len() as u64);
                doubtful.into_iter().map(|(inode, _)| inode).collect()
            }
            Err(_) => preserved.names.iter().map(|name| name.inode).collect(),
        };
        if doubtful.is_empty() {
            return;
        }
        let (names, sure) = (preserved.names.drain(..))
            .partition(|name| doubtful.contains(&name.inode) && self.hold(name.inode).is_none());
        preserved.names = sure;
        for Name {
            inode,
            path,
            origin,
        } in names
        {
            let outcome = match self.remove(inode) {
                Ok(removed) => {
                    // Once, also where two names led to it.
                    preserved.held -= u64::from(removed == Reap::Gone);
                    self.hold_at(places, &path, Check::Now)
                }
                Err(_) => Err(Reason::Occupied(inode)),
            };
            preserved.note(Candidate { path, origin }, outcome);
        }
    }

    /// Makes a hold for each of the volume's inodes that a magic link (`/proc/PID/map_files/...`,
    /// `/proc/PID/fd/N`) leads to, whatever its name.
    ///
    /// A process in another mount namespace has the file from another mount, which link(2) does not
    /// cross: the link's text is tried as a path first.
    pub fn preserve_open(&self, magic_links: impl IntoIterator<Item = PathBuf>) -> Preserved {
        let mut places = Places::new(&self.links, self.root, self.mount_point);
        let mut seen = HashSet::new();
        let device = self
            .links
            .stat_open(self.dir())
            .map(|stat| stat.device)
            .ok();
        Preserved::collect(magic_links, |preserved, link| {
            let Ok(stat) = self.links.stat(Source::Magic(&link)) else {
                preserved.vanished += 1;
                return;
            };
            if Some(stat.device) != device || !stat.is_file() || !seen.insert(stat.inode) {
                preserved.ignored += 1;
                return;
            }
            let path = self
                .links
                .read_link(&link)
                .map_or_else(|_| link.clone(), without_deleted);
            let outcome = match places.find(&path) {
                // Where a removed file was, a hold's entry is.
                Ok(Place::Below(below)) if below.is_hold() => Ok(Outcome::Ignored),
                Ok(Place::Below(below)) if self.leads_to(below.source(), &stat) => {
                    self.make_hold(below.source(), Check::Now)
                }
                _ => self.make_hold(Source::Magic(&link), Check::Now),
            };
            let path = lasting(path);
            preserved.note(Candidate { path, origin: None }, outcome);
        })
    }

    /// Whether it is a name of that inode.
    pub(super) fn leads_to(&self, name: Source<'_>, inode: &Stat) -> bool {
        self.links
            .stat(name)
            .is_ok_and(|found| found.same_inode(inode))
    }

    pub(super) fn make_hold(&self, source: Source<'_>, check: Check) -> Result<Outcome, Reason> {
        for _ in 0..ATTEMPTS {
            let stat = match self.links.stat(source) {
                Ok(stat) if !stat.is_file() => return Ok(Outcome::Ignored),
                Ok(stat) if stat.links == 0 => return Ok(Outcome::Orphan(stat)),
                Ok(stat) => stat,
                Err(error) if is_missing(&error) => return Ok(Outcome::Vanished),
                Err(error) => return Err(Reason::Failed(error)),
            };
            let name = name_of(stat.inode);
            let linked = match self.links.link(source, self.dir(), &name) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                // Gone since we looked, or the hold directory is: look again.
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(Reason::of(error, &stat)),
            };
            if linked && check == Check::Later {
                return Ok(Outcome::New(stat));
            }
            let held = self
                .links
                .stat(Source::Below(self.dir(), name.as_ref()))
                .map_err(Reason::Failed)?;
            match (linked, held.same_inode(&stat)) {
                (true, true) => return Ok(Outcome::New(stat)),
                (false, true) => return Ok(Outcome::Already(stat)),
                (false, false) => return Err(Reason::Occupied(stat.inode)),
                // Somebody replaced the file between the two calls.
                (true, false) => self
                    .links
                    .unlink(self.dir(), &name)
                    .map_err(Reason::Failed)?,
            }
        }
        Err(Reason::Changing)
    }
}

impl Preserved {
    /// Looks at `items` until there is no point in it any more.
    fn collect<T>(
        items: impl IntoIterator<Item = T>,
        mut look_at: impl FnMut(&mut Self, T),
    ) -> Self {
        let mut preserved = Self::default();
        let mut items = items.into_iter();
        while let Some(item) = items.next() {
            look_at(&mut preserved, item);
            if let Some(stopped) = &mut preserved.stopped {
                stopped.left += items.count() as u64;
                break;
            }
        }
        preserved
    }

    fn note(&mut self, Candidate { path, origin }: Candidate, outcome: Result<Outcome, Reason>) {
        match outcome {
            Ok(Outcome::New(stat)) => {
                self.held += 1;
                self.bytes += stat.allocated;
                self.names.push(Name {
                    inode: stat.inode,
                    path,
                    origin,
                });
            }
            Ok(Outcome::Already(stat)) => {
                self.already += 1;
                self.names.push(Name {
                    inode: stat.inode,
                    path,
                    origin,
                });
            }
            Ok(Outcome::Orphan(stat)) => self.orphans.push(stat.inode),
            Ok(Outcome::Ignored) => self.ignored += 1,
            Ok(Outcome::Vanished) => self.vanished += 1,
            Err(Reason::Failed(cause)) if self.is_final(&cause) => {
                self.stopped = Some(Stopped { cause, left: 1 })
            }
            Err(reason) => self.skipped.push(Skipped { path, reason }),
        }
    }

    /// Whether every further hold would fail the same way.
    fn is_final(&self, cause: &io::Error) -> bool {
        match cause.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS) => true,
            // From a filesystem without hard links, which made no hold before either.
            Some(libc::EPERM | libc::EOPNOTSUPP) => self.names.is_empty(),
            _ => false,
        }
    }
}

impl Reason {
    fn of(error: io::Error, file: &Stat) -> Self {
        match error.raw_os_error() {
            Some(libc::EXDEV) => Self::OtherMount,
            Some(libc::EMLINK) => Self::TooManyLinks,
            Some(libc::EPERM) if file.immutable => Self::Immutable,
            _ => Self::Failed(error),
        }
    }
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// What the kernel appends to the path of an unlinked name, which may end so in earnest too: the
/// inode decides.
fn without_deleted(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) => std::ffi::OsString::from_vec(path.to_vec()).into(),
        None => path,
    }
}
