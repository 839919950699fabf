//! What guests are made of: kernels, packages to upgrade, disk images, the initramfs.

pub(crate) mod busybox;
mod control;
pub(crate) mod demo_package;
pub(crate) mod image;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod layout;
pub(crate) mod newer;
mod repack;
pub(crate) mod tools;
pub(crate) mod upgrade;

use std::path::{Path, PathBuf};

/// Debian's release in the guests.
pub(crate) const RELEASE: &str = "trixie";

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// The folder of the guests' recipe.
pub(crate) fn recipe() -> PathBuf {
    workspace().join("tests/guest")
}
