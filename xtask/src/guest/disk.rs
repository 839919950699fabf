//! The disks that hold the guest's root and its /usr.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{lab, process};

/// What becomes of what a guest writes.
#[derive(Clone, Debug)]
pub(crate) enum Disks {
    /// Those of the image, and what is written is thrown away.
    Pristine,
    /// Those in this folder, root.img and usr.img; what is written stays there.
    Kept(PathBuf),
}

/// The images, by the serial number that the guest knows them by.
pub(crate) const NAMES: [&str; 2] = ["root", "usr"];

/// Copies the pristine disks into `folder`, unless it has some.
///
/// # Errors
///
/// Where there is no room.
pub(crate) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let images = lab::image::folder()?;
    for name in NAMES {
        let image = file(folder, name);
        if !image.exists() {
            copy(&file(&images, name), &image)?;
        }
    }
    Ok(())
}

/// Copies an image; what is free in it takes no room.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    // Whole or not at all.
    let draft = to.with_extension("part");
    let how = ["--sparse=always", "--reflink=auto"];
    process::read(Command::new("cp").args(how).args([from, &draft]))?;
    fs::rename(&draft, to).with_context(|| format!("cannot make {}", to.display()))
}

/// An image in a folder of disks.
pub(crate) fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.img"))
}

impl Disks {
    /// QEMU's arguments for both.
    pub(super) fn arguments(&self) -> Result<Vec<String>> {
        let (folder, options) = match self {
            Self::Pristine => (lab::image::folder()?, "snapshot=on"),
            Self::Kept(folder) => (folder.clone(), "cache=writeback"),
        };
        let disks = NAMES.map(|name| drive(name, &file(&folder, name), options));
        Ok(disks.concat())
    }
}

/// A disk of its own.
pub(super) fn drive(name: &str, file: &Path, options: &str) -> Vec<String> {
    vec![
        "-drive".to_owned(),
        format!(
            "if=none,id={name},file={},format=raw,{options}",
            escaped(file)
        ),
        "-device".to_owned(),
        format!("nvme,drive={name},serial={name}"),
    ]
}

/// A comma in a path would start another option.
fn escaped(file: &Path) -> String {
    file.display().to_string().replace(',', ",,")
}
