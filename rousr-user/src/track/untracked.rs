//! The tracker of last resort: it is told of nothing, so holds go at the next transaction only.

use std::{collections::HashSet, future, os::fd::AsFd as _};

use rustix::fs::fstat;

use super::{Health, News, Pin, TrackError, Tracker, procfs};

/// Stands in where the kernel refuses the BPF programs and fanotify, and where no agent runs.
#[derive(Debug)]
pub struct Untracked {
    reason: String,
    used: HashSet<u64>,
}

impl Untracked {
    /// As [`Health`](super::Health) names it.
    pub const NAME: &str = "none";

    /// Remembers why there is no other tracker.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            used: HashSet::new(),
        }
    }
}

impl Tracker for Untracked {
    /// Looks at /proc once: no lease sees the `O_PATH` descriptors that it shows.
    fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError> {
        let Some(any) = pins.first() else {
            return Ok(());
        };
        let failed = |source: std::io::Error| TrackError {
            action: "see in /proc which holds are in use",
            source: source.into(),
        };
        let device = fstat(any.file.as_fd())
            .map_err(|error| failed(error.into()))?
            .st_dev;
        // Our own descriptors would be found, too.
        drop(pins);
        let snapshot = procfs::snapshot(device).map_err(failed)?;
        self.used = snapshot.usages.iter().map(|usage| usage.inode).collect();
        Ok(())
    }

    fn unwatch(&mut self, inode: u64) {
        self.used.remove(&inode);
    }

    /// What /proc showed in use counts as used by one; of what it did not show nothing is known.
    fn holders(&self, inode: u64) -> Option<u64> {
        self.used.contains(&inode).then_some(1)
    }

    async fn news(&mut self) -> News {
        future::pending().await
    }

    fn health(&self) -> Health {
        Health {
            tracker: Self::NAME,
            missing: Some(self.reason.clone()),
            ..Health::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

    use rustix::fs::OFlags;

    use super::*;

    fn pin(path: &std::path::Path) -> Pin {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::PATH.bits().cast_signed())
            .open(path)
            .expect("opens");
        let inode = file.metadata().expect("metadata").ino();
        Pin {
            inode,
            file: file.into(),
        }
    }

    #[test]
    fn a_path_descriptor_counts_and_our_own_pins_do_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [used, unused] = ["used", "unused"].map(|name| dir.path().join(name));
        for path in [&used, &unused] {
            File::create(path).expect("creates");
        }
        let holder = pin(&used);
        let inodes = [&used, &unused].map(|path| pin(path).inode);
        let mut tracker = Untracked::new("a test");
        tracker
            .watch(vec![pin(&used), pin(&unused)])
            .expect("/proc is readable");
        assert_eq!(inodes.map(|inode| tracker.holders(inode)), [Some(1), None]);
        tracker.unwatch(holder.inode);
        assert_eq!(tracker.holders(holder.inode), None);
    }
}
