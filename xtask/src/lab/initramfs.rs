//! The initramfs: busybox and the recipe's init, the same for every kernel.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::lab;

/// What is in it, in cpio's order: a folder before its files.
const ENTRIES: &str = ".\nbin\nbin/busybox\ninit\n";

/// Writes it to `file`.
pub(crate) fn write(file: &Path) -> Result<()> {
    let tree = tempfile::tempdir()?;
    fs::create_dir(tree.path().join("bin"))?;
    fs::copy(lab::busybox::file()?, tree.path().join("bin/busybox"))?;
    let init = tree.path().join("init");
    fs::copy(lab::recipe().join("init"), &init)?;
    fs::set_permissions(&init, Permissions::from_mode(0o755))?;

    let names = tempfile::NamedTempFile::new()?;
    fs::write(&names, ENTRIES)?;
    let packed = Command::new("cpio")
        .args(["--create", "--format=newc", "--owner=+0:+0", "--quiet"])
        .current_dir(&tree)
        .stdin(Stdio::from(File::open(&names)?))
        .stdout(File::create(file).with_context(|| format!("cannot create {}", file.display()))?)
        .status()
        .context("cannot run cpio")?;
    ensure!(packed.success(), "cpio could not write {}", file.display());
    Ok(())
}
