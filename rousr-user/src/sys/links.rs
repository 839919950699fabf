//! What the hold store does to directories and inodes, all relative to directory descriptors.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::step::step;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Statx, StatxAttributes, StatxFlags,
    linkat, makedev, mkdirat, openat, renameat, renameat_with, statx, symlinkat, unlinkat,
};

/// What the store wants to know of an inode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stat {
    /// stat(2)'s st_dev: on btrfs the subvolume's, not the superblock's.
    pub device: u64,
    /// The inode's number.
    pub inode: u64,
    /// How many names it has, holds included.
    pub links: u64,
    /// File type and permission bits, as in st_mode.
    pub mode: u32,
    /// The owner's user id.
    pub owner: u32,
    /// The content's length in bytes.
    pub size: u64,
    /// The bytes allocated on disk.
    pub allocated: u64,
    /// Immutable or append-only: no hard link to it can be made or removed.
    pub immutable: bool,
}

impl Stat {
    /// The set-user-id and set-group-id bits.
    pub const SET_ID: u32 = 0o6000;

    /// The file's type.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// Whether both are of the same inode.
    pub fn same_inode(&self, other: &Stat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether it carries a set-id bit.
    pub fn is_set_id(&self) -> bool {
        self.mode & Self::SET_ID != 0
    }
}

/// A name in a directory, as reading that tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DirEntry {
    /// The name.
    pub name: OsString,
    /// The number of its inode; where something is mounted, of what is below that.
    pub inode: u64,
    /// The file's type; unknown where the filesystem does not say.
    pub kind: FileType,
}

/// Where a file is found.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Below a directory; a symlink in the last component is not followed.
    Below(BorrowedFd<'a>, &'a Path),
    /// What a magic link such as `/proc/PID/map_files/...` or `/proc/PID/fd/N` leads to.
    Magic(&'a Path),
}

/// The calls on directories and inodes.
pub trait Links {
    /// Creates a directory that only its owner may enter.
    fn make_private_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()>;

    /// Opens a directory for reading; ENOTDIR for anything else, a symlink to a directory included.
    fn open_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd>;

    /// The names in a directory opened by [`Links::open_dir`], without `.` and `..`.
    fn names(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>>;

    /// What is in a directory opened by [`Links::open_dir`], without `.` and `..`.
    fn entries(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<DirEntry>>;

    /// Opens a regular file for reading, in a way that changes nothing and never waits.
    fn open_file(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd>;

    /// Keeps an inode in memory without counting as one who has it open (`O_PATH`).
    fn pin(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd>;

    /// The inode of an open file.
    fn stat_open(&self, file: BorrowedFd<'_>) -> io::Result<Stat>;

    /// The inode that `source` leads to.
    fn stat(&self, source: Source<'_>) -> io::Result<Stat>;

    /// Makes `dir`/`name` another name of the inode that `source` leads to.
    fn link(&self, source: Source<'_>, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()>;

    /// Makes `dir`/`name` a symlink to `target`.
    fn make_symlink(&self, target: &Path, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()>;

    /// Moves `from`/`name` to `to`/`path`, in place of what is there.
    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &Path,
        to: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()>;

    /// Lets two names change places at once.
    fn exchange(
        &self,
        one: BorrowedFd<'_>,
        name: &Path,
        other: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()>;

    /// Removes a name that is not a directory's.
    fn unlink(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()>;

    /// Clears the set-id bits of an open file whose mode is `mode`.
    fn clear_set_id(&self, file: BorrowedFd<'_>, mode: u32) -> io::Result<()>;

    /// An existing directory's path without symlinks.
    fn resolve(&self, dir: &Path) -> io::Result<PathBuf>;

    /// What a magic link says that it leads to.
    fn read_link(&self, link: &Path) -> io::Result<PathBuf>;
}

/// The calls of the running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostLinks;

impl Links for HostLinks {
    fn make_private_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        step("make a directory");
        Ok(mkdirat(dir, name, Mode::RWXU)?)
    }

    fn open_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(dir, name, flags, Mode::empty())?)
    }

    fn names(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
        let entries = self.entries(dir)?.into_iter();
        Ok(entries.map(|entry| entry.name).collect())
    }

    fn entries(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        // Opens the directory anew, so that the position of `dir` does not matter.
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push(DirEntry {
                    name: OsStr::from_bytes(name).to_owned(),
                    inode: entry.ino(),
                    kind: entry.file_type(),
                });
            }
        }
        Ok(entries)
    }

    fn open_file(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY
            | OFlags::NONBLOCK
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY
            | OFlags::NOATIME;
        Ok(openat(dir, name, flags, Mode::empty())?)
    }

    fn pin(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(dir, name, flags, Mode::empty())?)
    }

    fn stat_open(&self, file: BorrowedFd<'_>) -> io::Result<Stat> {
        Ok(statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?.into())
    }

    fn stat(&self, source: Source<'_>) -> io::Result<Stat> {
        let found = match source {
            Source::Below(dir, path) => statx(
                dir,
                path,
                AtFlags::SYMLINK_NOFOLLOW,
                StatxFlags::BASIC_STATS,
            )?,
            Source::Magic(link) => statx(CWD, link, AtFlags::empty(), StatxFlags::BASIC_STATS)?,
        };
        Ok(found.into())
    }

    fn link(&self, source: Source<'_>, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        step("link");
        match source {
            Source::Below(from, path) => Ok(linkat(from, path, dir, name, AtFlags::empty())?),
            Source::Magic(link) => Ok(linkat(CWD, link, dir, name, AtFlags::SYMLINK_FOLLOW)?),
        }
    }

    fn make_symlink(&self, target: &Path, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        step("make a symlink");
        Ok(symlinkat(target, dir, name)?)
    }

    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &Path,
        to: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        step("rename");
        Ok(renameat(from, name, to, path)?)
    }

    fn exchange(
        &self,
        one: BorrowedFd<'_>,
        name: &Path,
        other: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        step("exchange");
        Ok(renameat_with(
            one,
            name,
            other,
            path,
            RenameFlags::EXCHANGE,
        )?)
    }

    fn unlink(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        step("unlink");
        Ok(unlinkat(dir, name, AtFlags::empty())?)
    }

    fn clear_set_id(&self, file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
        step("clear set-id bits");
        Ok(rustix::fs::fchmod(
            file,
            Mode::from_raw_mode(mode & 0o7777 & !Stat::SET_ID),
        )?)
    }

    fn resolve(&self, dir: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(dir)
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        fs::read_link(link)
    }
}

impl From<Statx> for Stat {
    fn from(found: Statx) -> Self {
        let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        Self {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            links: found.stx_nlink.into(),
            mode: found.stx_mode.into(),
            owner: found.stx_uid,
            size: found.stx_size,
            allocated: found.stx_blocks.saturating_mul(512),
            immutable: found.stx_attributes.intersects(fixed),
        }
    }
}
