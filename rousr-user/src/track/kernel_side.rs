//! What the kernel itself uses of a filesystem, so that no process shows it: loop devices, swap files,
//! mounts of what was removed.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    seal::Volume,
    sys::{
        loop_device,
        mountinfo::{self, Mount},
    },
};

/// One way in which the kernel keeps an inode in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelUse {
    /// The inode's number.
    pub inode: u64,
    /// A path that it has or had, as the kernel shows it.
    pub path: PathBuf,
    /// Whether it has no name any more.
    pub removed: bool,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether it is open for writing.
    pub writable: bool,
    /// Who it is.
    pub by: KernelUser,
}

/// What of the kernel's uses an inode. In JSON an object of `kind` and `name`.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum KernelUser {
    /// A loop device, by its path.
    LoopDevice(PathBuf),
    /// The swap file of this path.
    Swap(PathBuf),
    /// A mount of the inode, by its mount point.
    Mount(PathBuf),
}

/// What the kernel adds to the path of a removed file.
const DELETED: &[u8] = b" (deleted)";
/// What it adds to a mount's root that was removed: `show_path` and `seq_dentry`, fs/seq_file.c.
const DELETED_ROOT: &[u8] = b"//deleted";

/// All that is found of the volume.
///
/// # Errors
///
/// Fails where /proc or /sys cannot be read. What goes meanwhile is no error.
pub fn uses(volume: &Volume) -> io::Result<Vec<KernelUse>> {
    let device = fs::metadata(&volume.mount_point)?.dev();
    let mut uses = loop_devices(device)?;
    uses.extend(swap_files(device, &read("/proc/swaps")?));
    let mounts = mountinfo::parse(&read("/proc/self/mountinfo")?);
    uses.extend(removed_mounts(volume, &mounts));
    Ok(uses)
}

/// A kernel without swap has no such file.
fn read(path: &str) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn loop_devices(device: u64) -> io::Result<Vec<KernelUse>> {
    let disks = match fs::read_dir("/sys/block") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        disks => disks?,
    };
    let names = disks.filter_map(|disk| Some(disk.ok()?.file_name()));
    Ok(names
        .filter(|name| name.as_bytes().starts_with(b"loop"))
        .filter_map(|name| loop_device(&name, device))
        .collect())
}

/// The use by a loop device; `None` where nothing is behind it, or a file of another filesystem.
fn loop_device(name: &OsStr, device: u64) -> Option<KernelUse> {
    let mut shown = fs::read(Path::new("/sys/block").join(name).join("loop/backing_file")).ok()?;
    shown.pop_if(|byte| *byte == b'\n');
    let node = Path::new("/dev").join(name);
    let backing = loop_device::backing(File::open(&node).ok()?).ok()?;
    (backing.device == device).then(|| KernelUse {
        inode: backing.inode,
        removed: shown.ends_with(DELETED),
        path: PathBuf::from(OsStr::from_bytes(&shown)),
        directory: false,
        writable: backing.writable,
        by: KernelUser::LoopDevice(node),
    })
}

/// Those that still have a name: the kernel tells no inode.
fn swap_files(device: u64, swaps: &[u8]) -> Vec<KernelUse> {
    swap_paths(swaps)
        .filter_map(|path| {
            let found = fs::symlink_metadata(&path).ok()?;
            (found.dev() == device).then(|| KernelUse {
                inode: found.ino(),
                path: path.clone(),
                removed: false,
                directory: false,
                writable: true,
                by: KernelUser::Swap(path),
            })
        })
        .collect()
}

/// The files in /proc/swaps, below its heading; a space is `\040` there.
fn swap_paths(swaps: &[u8]) -> impl Iterator<Item = PathBuf> {
    swaps
        .split(|&byte| byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let mut fields = line
                .split(|byte| byte.is_ascii_whitespace())
                .filter(|field| !field.is_empty());
            let (path, kind) = (fields.next()?, fields.next()?);
            (kind == b"file")
                .then(|| PathBuf::from(std::ffi::OsString::from_vec(mountinfo::unescape(path))))
        })
}

/// Mounts of the volume's filesystem whose root has no name any more.
fn removed_mounts(volume: &Volume, mounts: &[Mount]) -> Vec<KernelUse> {
    mounts
        .iter()
        .filter(|mount| mount.device == volume.device)
        .filter_map(|mount| {
            let root = mount.root.as_os_str().as_bytes();
            let path = Path::new(OsStr::from_bytes(root.strip_suffix(DELETED_ROOT)?));
            let below = path.strip_prefix(&volume.root).ok()?;
            let mut shown = volume.mount_point.join(below).into_os_string();
            shown.push(OsStr::from_bytes(DELETED));
            let found = fs::symlink_metadata(&mount.mount_point).ok()?;
            Some(KernelUse {
                inode: found.ino(),
                path: shown.into(),
                removed: found.nlink() == 0,
                directory: found.is_dir(),
                writable: false,
                by: KernelUser::Mount(mount.mount_point.clone()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mountinfo::Device;

    #[test]
    fn swap_files_are_told_and_partitions_are_not() {
        let swaps = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/sda2                               partition\t1024\t\t0\t\t-2\n\
            /usr/a\\040b                             file\t\t1024\t\t0\t\t-3\n";
        let paths: Vec<PathBuf> = swap_paths(swaps).collect();
        assert_eq!(paths, [PathBuf::from("/usr/a b")]);
        assert_eq!(swap_paths(b"").count(), 0);
    }

    #[test]
    fn a_mount_of_what_was_removed_is_told_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = |root: &str, minor| Mount {
            options: Vec::new(),
            id: 7,
            parent: 1,
            device: Device { major: 8, minor },
            root: root.into(),
            mount_point: folder.path().to_owned(),
            mount_read_only: true,
            fs_type: "ext4".into(),
            source: "/dev/sda".into(),
            superblock_read_only: false,
        };
        let volume = Volume {
            mount_point: "/usr".into(),
            root: "/sub".into(),
            device: Device { major: 8, minor: 1 },
            fs_type: "ext4".into(),
            source: "/dev/sda".into(),
        };
        let mounts = [
            mount("/sub/share/x//deleted", 1),
            mount("/sub/share/x//deleted", 2),
            mount("/sub/share/y", 1),
        ];
        let found = removed_mounts(&volume, &mounts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, Path::new("/usr/share/x (deleted)"));
        assert_eq!(
            found[0].by,
            KernelUser::Mount(folder.path().to_owned()),
            "by its mount point"
        );
        assert!(found[0].directory);
    }
}
