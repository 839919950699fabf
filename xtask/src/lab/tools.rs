//! The tools that rousr is compared with: bcc's, as Debian builds them without bcc.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::archive::{self, Archive};
use crate::{cache, lab};

/// Tell of opened files, and of files that are created and removed.
pub(crate) const TOOLS: [&str; 2] = ["opensnoop", "filelife"];

/// The folder with [`TOOLS`].
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("tools"))
}

/// Fetches them.
pub(crate) fn provide() -> Result<()> {
    let archive = Archive::open(lab::RELEASE)?;
    let package = archive.versions("libbpf-tools")?.swap_remove(0);
    let target = folder()?;
    let draft = cache::draft(&target)?;
    let deb = archive.download(&package, draft.path())?;
    let unpacked = tempfile::tempdir_in(draft.path())?;
    archive::unpack(&deb, unpacked.path())?;
    for tool in TOOLS {
        fs::rename(
            unpacked.path().join(format!("usr/sbin/{tool}-libbpf")),
            draft.path().join(tool),
        )
        .with_context(|| format!("libbpf-tools holds no usr/sbin/{tool}-libbpf"))?;
    }
    unpacked.close()?;
    fs::remove_file(deb)?;
    cache::publish(draft, &target)
}
