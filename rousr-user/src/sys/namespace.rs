//! Mounts of a superblock in other mount namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statx};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::mount::set_read_only;
use super::mountinfo::{self, Mount};

/// A mount in another mount namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreign {
    /// A process of that namespace.
    pub pid: u32,
    /// The mount, as that process sees it.
    pub mount: Mount,
    /// Whether it shows all that the mount here shows, and so is a copy of it rather than one made on
    /// purpose.
    pub whole: bool,
}

/// The mounts of `own`'s superblock in other mount namespaces that are not read-only themselves, one
/// process for each namespace. A namespace without a process is not seen.
///
/// # Errors
///
/// Fails where /proc cannot be listed.
pub fn writable_elsewhere(own: &Mount) -> io::Result<Vec<Foreign>> {
    let mut found = Vec::new();
    for pid in others()?.into_values() {
        // It may have ended meanwhile, and another of its namespace is seen next time.
        let mounts = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        let writable = mountinfo::parse(&mounts)
            .into_iter()
            .filter(|mount| mount.device == own.device && !mount.mount_read_only);
        found.extend(writable.map(|mount| Foreign {
            pid,
            whole: mount.root == own.root,
            mount,
        }));
    }
    Ok(found)
}

/// The mount namespaces but the caller's own, each with the lowest process.
fn others() -> io::Result<BTreeMap<PathBuf, u32>> {
    let own = fs::read_link("/proc/thread-self/ns/mnt")?;
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut namespaces = BTreeMap::new();
    for pid in pids {
        if let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt"))
            && namespace != own
        {
            namespaces.entry(namespace).or_insert(pid);
        }
    }
    Ok(namespaces)
}

/// Sets the mount's own read-only flag, from within its namespace: mount_setattr(2) takes no other's
/// (`check_mnt`, fs/namespace.c).
///
/// # Errors
///
/// EBUSY: it has a writer. ESTALE: another mount lies over it, or it is gone. EPERM: not this process.
pub fn seal(foreign: &Foreign) -> io::Result<()> {
    // A thread of its own: it never comes back from there.
    thread::scope(|scope| {
        let sealed = scope.spawn(|| seal_in_this_thread(foreign)).join();
        sealed.unwrap_or_else(|_| {
            Err(io::Error::other(
                "the thread that enters the namespace failed",
            ))
        })
    })
}

fn seal_in_this_thread(foreign: &Foreign) -> io::Result<()> {
    let namespace = openat(
        CWD,
        format!("/proc/{}/ns/mnt", foreign.pid),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mount = open(foreign)?;
    // SAFETY: CLONE_FS only gives this thread, which ends with this function, a working directory and
    // umask of its own; no other thread depends on either.
    unsafe { unshare_unsafe(UnshareFlags::FS) }?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
    set_read_only(mount.as_fd(), true)
}

/// From here, since in there the path may lead elsewhere; the mount is the one that was listed.
fn open(foreign: &Foreign) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat(
        CWD,
        format!("/proc/{}/root", foreign.pid),
        flags,
        Mode::empty(),
    )?;
    let path = match foreign.mount.mount_point.strip_prefix("/") {
        Ok(path) if path != Path::new("") => path,
        _ => Path::new("."),
    };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let mount = openat2(root, path, flags, Mode::empty(), resolve)?;
    let id = statx(&mount, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    match id == foreign.mount.id {
        true => Ok(mount),
        false => Err(io::Error::from_raw_os_error(libc::ESTALE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_namespace_is_not_among_the_others() {
        let own = fs::read_link("/proc/thread-self/ns/mnt").expect("a namespace");
        let others = others().expect("/proc is readable");
        assert!(!others.contains_key(&own));
        assert!(!others.values().any(|&pid| pid == std::process::id()));
    }

    #[test]
    fn what_lies_below_another_mount_is_not_taken_for_it() {
        let mounts = fs::read("/proc/self/mountinfo").expect("mountinfo");
        let mounts = mountinfo::parse(&mounts);
        let proc = mountinfo::topmost(&mounts, Path::new("/proc")).expect("/proc");
        let foreign = |mount: Mount| Foreign {
            pid: std::process::id(),
            mount,
            whole: true,
        };
        open(&foreign(proc.clone())).expect("the mount itself");
        let hidden = Mount {
            id: proc.id + 1_000_000,
            ..proc.clone()
        };
        let error = open(&foreign(hidden)).expect_err("another mount");
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    }
}
