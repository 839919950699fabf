//! The one program of the initramfs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::archive::{self, Archive};
use crate::{cache, lab};

/// A statically linked busybox.
pub(crate) fn file() -> Result<PathBuf> {
    Ok(folder()?.join("busybox"))
}

/// Fetches it.
pub(crate) fn provide() -> Result<()> {
    let archive = Archive::open(lab::RELEASE)?;
    let package = archive.versions("busybox-static")?.swap_remove(0);
    let target = folder()?;
    let draft = cache::draft(&target)?;
    let deb = archive.download(&package, draft.path())?;
    let unpacked = tempfile::tempdir_in(draft.path())?;
    archive::unpack(&deb, unpacked.path())?;
    fs::rename(
        unpacked.path().join("usr/bin/busybox"),
        draft.path().join("busybox"),
    )
    .context("busybox-static holds no usr/bin/busybox")?;
    unpacked.close()?;
    fs::remove_file(deb)?;
    cache::publish(draft, &target)
}

fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("busybox"))
}
