//! The files that are opened and closed.

use std::{
    ffi::{CString, OsStr},
    fs::{self, File},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    mount::{MountFlags, mount_remount},
};

use crate::{HOLDS, made};

/// One file of each kind. Each is compared with itself only, so that the way to it does not matter.
pub(super) struct Files {
    /// On a filesystem of another type than /usr's.
    pub(super) tmpfs: PathBuf,
    /// On another superblock of the same type.
    pub(super) foreign: PathBuf,
    /// On /usr.
    pub(super) unwatched: PathBuf,
    /// Another one on /usr.
    pub(super) neighbour: PathBuf,
    /// A hold, which no other name leads to.
    pub(super) held: PathBuf,
    holder: OwnedFd,
}

impl Files {
    /// Makes them. /usr is sealed afterwards, as it was before.
    pub(super) fn create() -> anyhow::Result<Self> {
        mount_remount("/usr", MountFlags::empty(), c"").context("cannot make /usr writable")?;
        let (inode, holder) = made::hold()?;
        let files = Self {
            tmpfs: create("/run/cost/file")?,
            foreign: create("/var/lib/cost/file")?,
            unwatched: create("/usr/lib/cost/file")?,
            neighbour: create("/usr/lib/cost/neighbour")?,
            held: Path::new(HOLDS).join(inode.to_string()),
            holder: holder.into(),
        };
        mkfifoat(CWD, "/run/cost/fifo", Mode::RUSR)?;
        mount_remount("/usr", MountFlags::RDONLY, c"").context("cannot seal /usr")?;
        Ok(files)
    }

    /// Gives up the hold. The descriptor stays in use: its number shows in what the next one costs.
    pub(super) fn release(&mut self) -> anyhow::Result<()> {
        let other = File::open("/dev/null")?;
        rustix::io::dup2(other, &mut self.holder).context("cannot give up the hold")
    }
}

fn create(path: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, "content").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A path as the kernel takes it.
pub(super) fn name(path: &Path) -> anyhow::Result<CString> {
    let path: &OsStr = path.as_ref();
    CString::new(path.as_bytes()).context("a path has no zero byte")
}
