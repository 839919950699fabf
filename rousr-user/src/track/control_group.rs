//! From a control group's number to its path.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

/// Where the unified hierarchy is mounted: alone, or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// `CGROUP2_SUPER_MAGIC`.
const UNIFIED: u64 = 0x6367_7270;

/// Paths of control groups, from the hierarchy's root, by number.
pub type Paths = HashMap<u64, Vec<u8>>;

/// The paths of the control groups `wanted`, of those that are there. A group's number is the inode
/// number of its directory, so the names of one tree tell them all.
pub fn paths(mut wanted: BTreeSet<u64>) -> Paths {
    let mut paths = Paths::new();
    let Some(root) = MOUNTS.iter().map(Path::new).find(|mount| is_unified(mount)) else {
        return paths;
    };
    if let Ok(metadata) = fs::metadata(root)
        && wanted.remove(&metadata.ino())
    {
        paths.insert(metadata.ino(), b"/".to_vec());
    }
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop()
        && !wanted.is_empty()
    {
        for (number, path) in below(&directory) {
            if wanted.remove(&number) {
                let name = path.strip_prefix(root).unwrap_or(&path);
                paths.insert(number, [b"/", name.as_os_str().as_bytes()].concat());
            }
            left.push(path);
        }
    }
    paths
}

fn is_unified(mount: &Path) -> bool {
    rustix::fs::statfs(mount).is_ok_and(|found| found.f_type as u64 == UNIFIED)
}

/// The groups of one directory; none where it has gone.
fn below(directory: &Path) -> impl Iterator<Item = (u64, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| (entry.ino(), entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_a_group_that_is_found() {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap();
        let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::")) else {
            return;
        };
        let Some(root) = MOUNTS.iter().map(Path::new).find(|mount| is_unified(mount)) else {
            return;
        };
        let directory = root.join(own.trim_start_matches('/'));
        // In a namespace of its own a process sees another tree than the one that is mounted.
        let Ok(metadata) = fs::metadata(directory) else {
            return;
        };
        let found = paths(BTreeSet::from([metadata.ino(), u64::MAX]));
        assert_eq!(
            found,
            Paths::from([(metadata.ino(), own.as_bytes().to_vec())])
        );
    }
}
