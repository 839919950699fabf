//! What outlives the agent: maps and links under the BPF filesystem.
//!
//! Every layout of the maps has a folder of its own, so that programs of one version never meet
//! the maps of another.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::programs::links::{FdLink, PinnedLink};
use rousr_ebpf::{LAYOUT, names};
use rustix::fs::statfs;

use crate::sys::{mount::read_mountinfo, mountinfo, step::step};

/// Everything of ours there.
const ROOT: &str = "/sys/fs/bpf/rousr";

/// `BPF_FS_MAGIC` of the kernel.
const BPF_FS: u64 = 0xcafe_4a11;

/// Why nothing can be pinned; the agent works all the same.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no BPF filesystem.
    #[error("no BPF filesystem at /sys/fs/bpf; mount it with `mount -t bpf bpf /sys/fs/bpf`")]
    NoFilesystem,
    /// A folder cannot be made or read.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The pins of one layout.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    name: String,
    ring_bytes: u32,
}

impl Pins {
    /// The folder for this version's maps on the superblock with `device`.
    pub(super) fn open(device: u32, ring_bytes: u32) -> Result<Self, PinError> {
        Self::below(Path::new(ROOT), device, ring_bytes)
    }

    fn below(root: &Path, device: u32, ring_bytes: u32) -> Result<Self, PinError> {
        let parent = root.parent().unwrap_or(root);
        if !statfs(parent).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(BPF_FS)) {
            return Err(PinError::NoFilesystem);
        }
        let pins = Self {
            root: root.to_owned(),
            name: layout(device, ring_bytes),
            ring_bytes,
        };
        let folder = pins.folder();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| PinError::Folder {
                path: folder,
                source,
            })?;
        Ok(pins)
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// Where the map of this name is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Pins the link of the program of this name, in the place of the last agent's.
    pub(super) fn pin(&self, name: &str, link: FdLink) -> anyhow::Result<PinnedLink> {
        let place = self.folder().join(name);
        step("pin a program");
        let beside = self.folder().join(format!("{name}-new"));
        remove_if_there(&beside)?;
        drop(link.pin(&beside)?);
        // The last agent's program is let go of by this, after ours has begun to run.
        fs::rename(&beside, &place)?;
        Ok(PinnedLink::from_pin(&place)?)
    }

    /// Lets go of links that an agent before this one attached, if there are any.
    pub(super) fn drop_links(&self) -> io::Result<()> {
        step("unpin the programs");
        for name in names::PROGRAMS {
            remove_if_there(&self.folder().join(name))?;
        }
        Ok(())
    }

    /// Lets go of every other layout's maps and programs, but for this version's on superblocks that
    /// are mounted.
    pub(super) fn drop_others(&self) -> io::Result<usize> {
        let mounts = mountinfo::parse(&read_mountinfo()?);
        let of_mounts: HashSet<String> = mounts
            .iter()
            .map(|mount| layout(mount.device.encoded(), self.ring_bytes))
            .collect();
        let mut dropped = 0;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let is_used = |name: &str| name == self.name || of_mounts.contains(name);
            if !entry.file_name().to_str().is_some_and(is_used) {
                fs::remove_dir_all(entry.path())?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}

/// Detaches every program and drops every map, also those of other versions. Tells how many
/// layouts there were.
///
/// # Errors
///
/// Fails where they cannot be removed.
pub fn detach_all() -> io::Result<usize> {
    let layouts = match fs::read_dir(ROOT) {
        Ok(layouts) => layouts.count(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    fs::remove_dir_all(ROOT)?;
    Ok(layouts)
}

/// Names in the BPF filesystem hold no dots.
fn layout(device: u32, ring_bytes: u32) -> String {
    format!("{LAYOUT}-{device:x}-{ring_bytes}")
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_a_name_of_its_own() {
        let names = [layout(1, 4096), layout(2, 4096), layout(1, 8192)];
        for (index, name) in names.iter().enumerate() {
            assert!(!name.contains('.'), "{name}");
            assert!(!names[..index].contains(name), "{names:?}");
        }
    }

    #[test]
    fn another_filesystem_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let error = Pins::below(&dir.path().join("rousr"), 1, 4096).expect_err("no BPF filesystem");
        assert!(error.to_string().contains("mount -t bpf"), "{error}");
    }
}
