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
    /// Those in this folder, and what is written is thrown away.
    Thrown(PathBuf),
    /// Those in this folder, [joined](join) as parts of one disk; each request is logged to [`LOG`] there.
    Logged(PathBuf),
}

/// The images, by the serial number that the guest knows them by.
pub(crate) const NAMES: [&str; 2] = ["root", "usr"];

/// The log's file in the folder of logged disks.
pub(crate) const LOG: &str = "log";

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
            Self::Thrown(folder) => (folder.clone(), "snapshot=on"),
            Self::Logged(folder) => return logged(folder),
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

/// Both as parts of one disk, of which the log has the order of all requests. A flush is one of the whole
/// disk.
fn logged(folder: &Path) -> Result<Vec<String>> {
    let disk = folder.join("disk");
    let log = folder.join(LOG);
    fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    // What the guest flushes is in the log; the files themselves need not outlive this machine's end.
    let node = |name: &str, file: &Path| {
        format!(
            "driver=file,node-name={name},filename={},cache.no-flush=on",
            escaped(file)
        )
    };
    let mut arguments = vec![
        "-blockdev".to_owned(),
        node("disk", &disk),
        "-blockdev".to_owned(),
        node("log", &log),
        "-blockdev".to_owned(),
        "driver=blklogwrites,node-name=logged,file=disk,log=log".to_owned(),
    ];
    let mut start = 0;
    for name in NAMES {
        let size = fs::metadata(file(folder, name))?.len();
        arguments.extend([
            "-blockdev".to_owned(),
            format!("driver=raw,node-name={name},file=logged,offset={start},size={size}"),
            "-device".to_owned(),
            format!("nvme,drive={name},serial={name},share-rw=on"),
        ]);
        start += size;
    }
    Ok(arguments)
}

/// Makes the one disk of which [`Disks::Logged`] are parts, from the images in the folder.
pub(crate) fn join(folder: &Path) -> Result<()> {
    let [root, usr] = NAMES.map(|name| file(folder, name));
    let disk = folder.join("disk");
    copy(&root, &disk)?;
    let start = fs::metadata(&root)?.len();
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", usr.display()))
        .arg(format!("of={}", disk.display()))
        .arg(format!("seek={start}"))
        .args([
            "bs=1M",
            "oflag=seek_bytes",
            "conv=sparse,notrunc",
            "status=none",
        ]);
    process::read(&mut dd)?;
    let end = start + fs::metadata(&usr)?.len();
    fs::OpenOptions::new()
        .write(true)
        .open(&disk)?
        .set_len(end)?;
    Ok(())
}
