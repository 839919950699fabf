//! Which files of watched inodes tasks reach by a descriptor or a mapping.

use std::collections::{HashMap, HashSet};

use rousr_ebpf::{FMODE_READ, FMODE_WRITE, Seen};

/// The files that one pass of the iterators visited, by the inode's address.
#[derive(Debug, Default)]
pub(super) struct Reach(HashMap<u64, Files>);

#[derive(Debug, Default)]
struct Files {
    opened: HashSet<u64>,
    paths: HashSet<u64>,
}

impl Reach {
    /// A file that several tasks reach, or one task in several ways, is one.
    pub(super) fn of(seen: impl IntoIterator<Item = Seen>) -> Self {
        let mut reach = Self::default();
        for seen in seen {
            let files = reach.0.entry(seen.inode).or_default();
            if seen.mode & (FMODE_READ | FMODE_WRITE) != 0 {
                files.opened.insert(seen.file);
            } else {
                files.paths.insert(seen.file);
            }
        }
        reach
    }

    /// Files of the inode that read or write.
    pub(super) fn opened(&self, address: u64) -> u64 {
        self.0
            .get(&address)
            .map_or(0, |files| files.opened.len() as u64)
    }

    /// Files that only refer to the inode: `O_PATH`, access mode 3.
    pub(super) fn paths(&self, address: u64) -> u64 {
        self.0
            .get(&address)
            .map_or(0, |files| files.paths.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use rousr_ebpf::NOT_OWN;

    use super::*;

    #[test]
    fn counts_files_and_not_visits() {
        let seen = [
            (1, 10, 1),
            (1, 10, 1),
            (1, 11, 1),
            (1, 12, 1 << 14),
            (2, 13, 1),
        ];
        let reach = Reach::of(seen.map(|(inode, file, mode)| Seen {
            inode,
            file,
            superblock: 0,
            descriptor: NOT_OWN,
            mode,
        }));
        assert_eq!((reach.opened(1), reach.paths(1)), (2, 1));
        assert_eq!((reach.opened(2), reach.paths(2)), (1, 0));
        assert_eq!((reach.opened(3), reach.paths(3)), (0, 0));
    }
}
