//! Holds that no upgrade made.

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use anyhow::Context as _;

use crate::HOLDS;

/// Makes a file whose only name is a hold's, opened: its inode number, and its holder. /usr is writable
/// and no agent runs.
pub(crate) fn hold() -> anyhow::Result<(u64, File)> {
    match DirBuilder::new().mode(0o700).create(HOLDS) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {HOLDS}"));
        }
        _ => {}
    }
    let draft = Path::new(HOLDS).join("draft");
    fs::write(&draft, "content").with_context(|| format!("cannot write {}", draft.display()))?;
    let holder = File::open(&draft)?;
    let inode = holder.metadata()?.ino();
    fs::rename(&draft, Path::new(HOLDS).join(inode.to_string()))?;
    Ok((inode, holder))
}
