//! The user's cache folder: what setup made once serves every clone.
//!
//! Whatever lies under its final name is complete: it is made beside it and renamed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, io};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::say;

/// The cache folder: `$XDG_CACHE_HOME/rousr`, or `~/.cache/rousr`.
pub(crate) fn folder() -> Result<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .context("no cache folder: set HOME or XDG_CACHE_HOME to an absolute path")?;
    Ok(base.join("rousr"))
}

/// Keeps other tasks, of this clone and of others, from making the same; released on drop.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

/// Takes the lock on the cache; waits for its holder.
pub(crate) fn lock() -> Result<Lock> {
    let folder = folder()?;
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the cache folder {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            say::line("waiting for another cargo xtask that is setting up");
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(fs::TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(Lock(file))
}

/// A folder in the making, beside `target`, which [`publish`] gives its name.
pub(crate) fn draft(target: &Path) -> Result<TempDir> {
    let parent = target
        .parent()
        .context("a cached folder lies in the cache")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    tempfile::Builder::new()
        .prefix(".draft-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in {}", parent.display()))
}

/// Gives `draft` the name `target`; what was there goes.
pub(crate) fn publish(draft: TempDir, target: &Path) -> Result<()> {
    match fs::remove_dir_all(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", target.display()));
        }
        _ => {}
    }
    fs::rename(draft.path(), target)
        .with_context(|| format!("cannot put {} into place", target.display()))?;
    // It has another name now: nothing is left to remove.
    let _gone = draft.keep();
    Ok(())
}
