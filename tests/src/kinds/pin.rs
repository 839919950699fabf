//! What keeps an inode in use without an open file.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, StatxFlags, openat, statx},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create, fsmount, fsopen,
        mount_bind, unmount,
    },
};
use tempfile::{NamedTempFile, TempDir, TempPath};

use super::mount::mount_overlay;

/// A reference that the kernel itself has to an inode.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Pin {
    /// The file is mounted over another.
    BindMount,
    /// A uprobe on the file, as perf and bpftrace set them.
    Uprobe,
    /// A directory entry that an overlay remembers; nobody has it open.
    OverlayEntry,
}

/// An inode that is pinned until this is dropped.
#[derive(Debug)]
pub enum Pinned {
    /// Where it is mounted.
    BindMount(TempPath),
    /// The name of the probe.
    Uprobe(String),
    /// The overlay and what it needs.
    OverlayEntry(OwnedFd, TempDir),
}

impl Pin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BindMount, Self::Uprobe, Self::OverlayEntry];

    /// Its name, as reports show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BindMount => "bind-mount",
            Self::Uprobe => "uprobe",
            Self::OverlayEntry => "overlay-entry",
        }
    }

    /// Pins the file of this name.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses.
    pub fn hold(self, path: &Path) -> io::Result<Pinned> {
        match self {
            Self::BindMount => bind_mount(path),
            Self::Uprobe => uprobe(path),
            Self::OverlayEntry => overlay_entry(path),
        }
    }
}

fn bind_mount(path: &Path) -> io::Result<Pinned> {
    let target = NamedTempFile::new()?.into_temp_path();
    mount_bind(path, &*target)?;
    Ok(Pinned::BindMount(target))
}

fn uprobe(path: &Path) -> io::Result<Pinned> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("rousr_tests/probe_{}_{number}", process::id());
    uprobe_event(&format!("p:{name} {}:0x0\n", path.display()))?;
    Ok(Pinned::Uprobe(name))
}

/// <https://docs.kernel.org/trace/uprobetracer.html>
fn uprobe_event(line: &str) -> io::Result<()> {
    let events = openat(
        tracefs()?,
        "uprobe_events",
        OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    File::from(events).write_all(line.as_bytes())
}

/// The one tracefs, mounted nowhere: not every machine has it mounted.
fn tracefs() -> io::Result<OwnedFd> {
    let filesystem = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&filesystem)?;
    Ok(fsmount(
        &filesystem,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
}

fn overlay_entry(path: &Path) -> io::Result<Pinned> {
    let (mount, empty) = mount_overlay(path)?;
    let name = path.file_name().expect("a file has a name");
    statx(&mount, name, AtFlags::empty(), StatxFlags::INO)?;
    Ok(Pinned::OverlayEntry(mount, empty))
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let gone = match self {
            Self::BindMount(target) => {
                unmount(&**target, UnmountFlags::empty()).map_err(Into::into)
            }
            Self::Uprobe(name) => uprobe_event(&format!("-:{name}\n")),
            Self::OverlayEntry(..) => Ok(()),
        };
        assert!(gone.is_ok(), "{self:?}: {gone:?}");
    }
}
