//! The real calls, with a chance to interfere before each.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::sys::links::{DirEntry, HostLinks, Links, Source, Stat};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Call {
    MakeDir,
    OpenDir,
    Names,
    OpenFile,
    StatOpen,
    Stat,
    Link,
    Symlink,
    Rename,
    Exchange,
    Unlink,
    ClearSetId,
    Resolve,
}

/// Says with which errno a call on a name fails, and may do anything before it does not.
pub(super) type Interfere = dyn Fn(Call, &OsStr) -> Option<i32>;

#[derive(Clone)]
pub(super) struct Faulty {
    pub(super) interfere: Rc<Interfere>,
    /// Files of that name look immutable.
    pub(super) immutable: &'static str,
}

impl Faulty {
    pub(super) fn new(interfere: impl Fn(Call, &OsStr) -> Option<i32> + 'static) -> Self {
        Self {
            interfere: Rc::new(interfere),
            immutable: "",
        }
    }

    /// One call fails, for whichever name.
    pub(super) fn failing(failing: Call, errno: i32) -> Self {
        Self::new(move |call, _| (call == failing).then_some(errno))
    }

    fn before(&self, call: Call, name: &OsStr) -> io::Result<()> {
        (self.interfere)(call, name)
            .map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

fn name_in<'a>(source: Source<'a>) -> &'a OsStr {
    let (Source::Below(_, path) | Source::Magic(path)) = source;
    path.file_name().unwrap_or_default()
}

impl Links for Faulty {
    fn make_private_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.before(Call::MakeDir, name)?;
        HostLinks.make_private_dir(dir, name)
    }

    fn open_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        self.before(Call::OpenDir, name)?;
        HostLinks.open_dir(dir, name)
    }

    fn names(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
        self.before(Call::Names, OsStr::new(""))?;
        HostLinks.names(dir)
    }

    fn entries(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<DirEntry>> {
        self.before(Call::Names, OsStr::new(""))?;
        HostLinks.entries(dir)
    }

    fn open_file(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        self.before(Call::OpenFile, name)?;
        HostLinks.open_file(dir, name)
    }

    fn pin(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        HostLinks.pin(dir, name)
    }

    fn stat_open(&self, file: BorrowedFd<'_>) -> io::Result<Stat> {
        self.before(Call::StatOpen, OsStr::new(""))?;
        HostLinks.stat_open(file)
    }

    fn stat(&self, source: Source<'_>) -> io::Result<Stat> {
        self.before(Call::Stat, name_in(source))?;
        let immutable = name_in(source) == self.immutable;
        HostLinks
            .stat(source)
            .map(|stat| Stat { immutable, ..stat })
    }

    fn link(&self, source: Source<'_>, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.before(Call::Link, name_in(source))?;
        HostLinks.link(source, dir, name)
    }

    fn make_symlink(&self, target: &Path, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.before(Call::Symlink, name.as_os_str())?;
        HostLinks.make_symlink(target, dir, name)
    }

    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &Path,
        to: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        self.before(Call::Rename, name.as_os_str())?;
        HostLinks.rename(from, name, to, path)
    }

    fn exchange(
        &self,
        one: BorrowedFd<'_>,
        name: &Path,
        other: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        self.before(Call::Exchange, name.as_os_str())?;
        HostLinks.exchange(one, name, other, path)
    }

    fn unlink(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.before(Call::Unlink, name)?;
        HostLinks.unlink(dir, name)
    }

    fn clear_set_id(&self, file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
        self.before(Call::ClearSetId, OsStr::new(""))?;
        HostLinks.clear_set_id(file, mode)
    }

    fn resolve(&self, dir: &Path) -> io::Result<PathBuf> {
        self.before(Call::Resolve, dir.as_os_str())?;
        HostLinks.resolve(dir)
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        HostLinks.read_link(link)
    }
}
