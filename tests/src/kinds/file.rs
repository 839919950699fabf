//! Descriptors of this process.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{Mode, OFlags, open};

pub(super) fn dup(path: &Path) -> io::Result<[File; 2]> {
    let file = File::open(path)?;
    Ok([file.try_clone()?, file])
}

pub(super) fn o_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

pub(super) fn reopened(path: &Path) -> io::Result<[File; 2]> {
    let file = File::open(path)?;
    let again = File::open(format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd()))?;
    Ok([file, again])
}

/// The access mode that is neither O_RDONLY, O_WRONLY nor O_RDWR asks for both permissions and gives
/// neither.
pub(super) fn access_mode_three(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(OFlags::ACCMODE.bits()) | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

pub(super) fn other_link(path: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = fs::canonicalize(path)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let link = name.with_added_extension(format!("link-{}-{number}", process::id()));
    fs::hard_link(&name, &link)?;
    let file = File::open(&link);
    fs::remove_file(&link)?;
    file
}

pub(super) fn tmpfile(path: &Path) -> io::Result<OwnedFd> {
    let name = fs::canonicalize(path)?;
    let directory = name.parent().expect("a file has a parent");
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(open(directory, flags, Mode::RUSR)?)
}
