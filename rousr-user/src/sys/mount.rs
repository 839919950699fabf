//! The two read-only flags of a mounted filesystem, and private clones of its mount.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, openat, statvfs, statx,
};
use rustix::mount::{
    FsPickFlags, OpenTreeFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick, open_tree,
};

use super::{
    frozen::Frozen,
    mountinfo,
    namespace::{self, Foreign},
    step::step,
};

/// What holds a mount's filesystem writable or not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MountState {
    /// The mount's own flag: writes through this mount fail.
    pub mount_read_only: bool,
    /// The superblock's flag: writes fail through whichever mount.
    pub superblock_read_only: bool,
    /// Another mount of the same superblock in this mount namespace is not read-only, so that the
    /// superblock's flag would take more than this mount.
    pub shared_writable: bool,
    /// Why it can never be made writable, where that is so.
    pub frozen: Option<Frozen>,
}

/// The calls that read and change read-only flags.
///
/// Each takes a mount by handle, not by path, so that all calls of a sequence meet the same mount.
pub trait Mounts {
    /// A mount's root directory. A clone lives as long as its handle.
    type Mount: AsFd;

    /// The mount that is visible at `mount_point`.
    fn open(&self, mount_point: &Path) -> io::Result<Self::Mount>;

    /// The flags of a visible mount.
    fn state(&self, mount: &Self::Mount) -> io::Result<MountState>;

    /// Sets or clears the mount's own flag. EBUSY: it has a writer.
    fn set_mount_read_only(&self, mount: &Self::Mount, read_only: bool) -> io::Result<()>;

    /// Sets or clears the superblock's flag. EBUSY: it has a writer, in any mount namespace, or an
    /// inode without a name that is still in use.
    fn set_superblock_read_only(&self, mount: &Self::Mount, read_only: bool) -> io::Result<()>;

    /// A clone of the mount, with its flags, that no path leads to.
    fn clone_mount(&self, mount: &Self::Mount) -> io::Result<Self::Mount>;

    /// Mounts of the same superblock in other mount namespaces that are not read-only themselves.
    fn writable_elsewhere(&self, mount: &Self::Mount) -> io::Result<Vec<Foreign>>;

    /// Sets such a mount's own flag. EBUSY: it has a writer.
    fn seal_foreign(&self, foreign: &Foreign) -> io::Result<()>;
}

/// The calls of the running kernel; Linux 5.12 or newer, CAP_SYS_ADMIN but for `open` and `state`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostMounts;

impl Mounts for HostMounts {
    type Mount = OwnedFd;

    fn open(&self, mount_point: &Path) -> io::Result<OwnedFd> {
        // O_PATH: the handle must neither need read permission nor count as an open file.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, mount_point, flags, Mode::empty())?)
    }

    fn state(&self, mount: &OwnedFd) -> io::Result<MountState> {
        find(mount, state_of)
    }

    fn set_mount_read_only(&self, mount: &OwnedFd, read_only: bool) -> io::Result<()> {
        step("set the mount's flag");
        set_read_only(mount.as_fd(), read_only)
    }

    /// Changes this one flag: a context made by fspick changes only the flags that are set on it
    /// (`sb_flags_mask` in `reconfigure_super`), and a filesystem's parser starts from the options in
    /// force (`btrfs_init_fs_context`, `xfs_fs_reconfigure`, `ext4_reconfigure`).
    /// <https://elixir.bootlin.com/linux/v6.12/source/fs/super.c>
    fn set_superblock_read_only(&self, mount: &OwnedFd, read_only: bool) -> io::Result<()> {
        step("set the superblock's flag");
        let context = pick(mount)?;
        fsconfig_set_flag(context.as_fd(), if read_only { c"ro" } else { c"rw" })?;
        Ok(fsconfig_reconfigure(context.as_fd())?)
    }

    fn clone_mount(&self, mount: &OwnedFd) -> io::Result<OwnedFd> {
        step("clone the mount");
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        Ok(open_tree(mount, c"", flags)?)
    }

    fn writable_elsewhere(&self, mount: &OwnedFd) -> io::Result<Vec<Foreign>> {
        let own = find(mount, |mounts, id| {
            mounts.iter().find(|mount| mount.id == id).cloned()
        })?;
        namespace::writable_elsewhere(&own)
    }

    fn seal_foreign(&self, foreign: &Foreign) -> io::Result<()> {
        step("seal elsewhere");
        namespace::seal(foreign)
    }
}

impl HostMounts {
    /// Whether the kernel lets this process change a mount's flags. Changes none.
    ///
    /// # Errors
    ///
    /// ENOSYS: it has no mount_setattr(2); EPERM: not this process.
    pub fn try_setattr(&self, mount: &OwnedFd) -> io::Result<()> {
        mount_setattr(mount.as_fd(), 0, 0)
    }

    /// Where else in this mount namespace the mount's superblock is mounted and not read-only.
    ///
    /// # Errors
    ///
    /// Fails where it is no mount of this mount namespace.
    pub fn writable_beside(&self, mount: &OwnedFd) -> io::Result<Vec<PathBuf>> {
        find(mount, |mounts, id| {
            let others = writable_beside(mounts, id);
            Some(others.map(|other| other.mount_point.clone()).collect())
        })
    }

    /// Whether the kernel lets this process change a superblock's flags. Changes none.
    ///
    /// # Errors
    ///
    /// ENOSYS: it has no fspick(2); EPERM: not this process.
    pub fn try_pick(&self, mount: &OwnedFd) -> io::Result<()> {
        pick(mount).map(drop)
    }
}

/// What mountinfo says about a mount of this namespace.
fn find<T>(mount: &OwnedFd, of: impl Fn(&[mountinfo::Mount], u64) -> Option<T>) -> io::Result<T> {
    let id = statx(mount, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    // A read of mountinfo while mounts come and go can miss one (before Linux 6.8); it is
    // there, since we hold it.
    for _ in 0..8 {
        let mounts = mountinfo::parse(&read_mountinfo()?);
        if let Some(found) = of(&mounts, id) {
            return Ok(found);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "not a mount of this mount namespace",
    ))
}

fn pick(mount: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
    Ok(fspick(mount, c"", flags)?)
}

/// Whether a write below `path` fails, by the mount's flag or the superblock's (statvfs(3)).
///
/// # Errors
///
/// Fails where nothing is there.
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    Ok(statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The mounts of the calling thread's mount namespace, as the kernel writes them.
pub fn read_mountinfo() -> io::Result<Vec<u8>> {
    fs::read("/proc/thread-self/mountinfo")
}

fn state_of(mounts: &[mountinfo::Mount], id: u64) -> Option<MountState> {
    let mount = mounts.iter().find(|mount| mount.id == id)?;
    let shared_writable = writable_beside(mounts, id).next().is_some();
    Some(MountState {
        mount_read_only: mount.mount_read_only,
        superblock_read_only: mount.superblock_read_only,
        shared_writable,
        frozen: Frozen::of(mount),
    })
}

/// The other mounts of a mount's superblock that are not read-only.
fn writable_beside(
    mounts: &[mountinfo::Mount],
    id: u64,
) -> impl Iterator<Item = &mountinfo::Mount> {
    let own = mounts.iter().find(|mount| mount.id == id);
    mounts.iter().filter(move |other| {
        own.is_some_and(|own| own.device == other.device)
            && other.id != id
            && !other.mount_read_only
    })
}

/// Sets or clears a mount's own flag.
pub(super) fn set_read_only(mount: BorrowedFd<'_>, read_only: bool) -> io::Result<()> {
    let (set, clear) = if read_only {
        (libc::MOUNT_ATTR_RDONLY, 0)
    } else {
        (0, libc::MOUNT_ATTR_RDONLY)
    };
    mount_setattr(mount, set, clear)
}

/// mount_setattr(2), which neither rustix nor libc wraps.
fn mount_setattr(mount: BorrowedFd<'_>, attr_set: u64, attr_clr: u64) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set,
        attr_clr,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string and `attributes` a mount_attr of the size that is given; the
    // kernel only reads both, and keeps neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_mount_beside_shares_the_superblock() {
        let mounts = mountinfo::parse(
            b"\
1 1 0:30 /@ / rw - btrfs /dev/sda rw
2 1 0:30 /@usr /usr ro - btrfs /dev/sda rw
3 1 8:2 / /srv ro - ext4 /dev/sdb ro
4 1 8:2 / /mnt ro - ext4 /dev/sdb ro
",
        );
        let state = |mount_read_only, superblock_read_only, shared_writable| {
            Some(MountState {
                mount_read_only,
                superblock_read_only,
                shared_writable,
                frozen: None,
            })
        };
        assert_eq!(state_of(&mounts, 2), state(true, false, true));
        assert_eq!(state_of(&mounts, 1), state(false, false, false));
        assert_eq!(state_of(&mounts, 3), state(true, true, false));
        assert_eq!(state_of(&mounts, 9), None);
    }

    #[test]
    fn finds_the_mount_of_proc() {
        let mounts = HostMounts;
        let proc = mounts.open(Path::new("/proc")).expect("/proc opens");
        let state = mounts.state(&proc).expect("/proc is a mount");
        assert!(!state.superblock_read_only);
    }
}
