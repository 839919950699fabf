//! Files that are reached through another mount.

use std::{
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    process::Command,
};

use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
        fsopen,
    },
};
use tempfile::TempDir;

use super::apart::Apart;

/// A file of an overlay that is mounted nowhere. Goes from first to last: the overlay keeps the
/// lower directory entry of a file that is closed.
pub(super) struct Overlay {
    _file: OwnedFd,
    _mount: OwnedFd,
    _empty: TempDir,
}

pub(super) fn overlay(path: &Path) -> io::Result<Overlay> {
    let name = fs::canonicalize(path)?;
    let (mount, empty) = mount_overlay(&name)?;
    let file = openat(
        &mount,
        name.file_name().expect("a file has a name"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(Overlay {
        _file: file,
        _mount: mount,
        _empty: empty,
    })
}

/// An overlay over the directory of a file, mounted nowhere, and the other directory below it:
/// without an upper one there have to be two.
pub(super) fn mount_overlay(name: &Path) -> io::Result<(OwnedFd, TempDir)> {
    let empty = tempfile::tempdir()?;
    let mut lower = escaped(name.parent().expect("a file has a parent"));
    lower.push(b':');
    lower.extend(escaped(empty.path()));
    let filesystem = fsopen_overlay()?;
    fsconfig_set_string(&filesystem, "lowerdir", lower)?;
    fsconfig_create(&filesystem)?;
    let mount = fsmount(
        &filesystem,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?;
    Ok((mount, empty))
}

fn fsopen_overlay() -> io::Result<OwnedFd> {
    let open = || fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC);
    // The kernel loads the module by itself where it finds modprobe.
    open().or_else(|_| {
        Command::new("modprobe").arg("overlay").status()?;
        Ok(open()?)
    })
}

/// A colon separates directories.
fn escaped(directory: &Path) -> Vec<u8> {
    let bytes = directory.as_os_str().as_bytes().iter();
    bytes
        .flat_map(|&byte| {
            [b'\\', byte]
                .into_iter()
                .skip(usize::from(!b"\\:".contains(&byte)))
        })
        .collect()
}

/// A thread in a mount namespace of its own, with a file of that namespace's mounts.
pub(super) fn other_namespace(path: &Path) -> io::Result<Apart> {
    let path = path.to_owned();
    Apart::start(move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        File::open(path)
    })
}
