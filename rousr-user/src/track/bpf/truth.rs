//! What the kernel's own counters say about a watched inode that the agent has just opened.

use rousr_ebpf::{MAX_ALIASES, Truth};

/// References to the hold's dentry that are the agent's own while it opens the hold: its pin, the
/// path of the lookup, the file.
const OWN_REFERENCES: i64 = 3;

/// The agent's own file among the readers.
const OWN_READERS: i64 = 1;

/// Other processes' files by the kernel's own counters, `O_PATH` ones left out. A program that
/// denies writing makes `i_writecount` negative; its file is among the readers.
pub(super) fn files(truth: &Truth) -> u64 {
    let files = truth.readers - OWN_READERS + truth.writers.max(0);
    files.max(0).unsigned_abs()
}

/// References beside the agent's own: one for each file (`O_PATH` ones too), mount, overlay or lookup
/// by the dentries, one for each uprobe by the inode itself. Marks of fsnotify let go of an inode that
/// is unlinked.
pub(super) fn references(truth: &Truth) -> u64 {
    let dentries = truth.references - OWN_REFERENCES;
    if truth.aliases >= u64::from(MAX_ALIASES) {
        // The list was not seen whole, so the inode's own count says nothing.
        return dentries.max(0).unsigned_abs();
    }
    let aliases = i64::try_from(truth.aliases).unwrap_or(i64::MAX);
    let marks = i64::try_from(truth.marks).unwrap_or(1);
    let inode = truth.inode_references - aliases - marks;
    dentries.max(0).unsigned_abs() + inode.max(0).unsigned_abs()
}

/// References that no file known to the kernel's counters explains.
pub(super) fn unexplained(truth: &Truth) -> u64 {
    references(truth).saturating_sub(files(truth))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An inode that only the agent has open.
    const ALONE: Truth = Truth {
        inode: 1,
        counted: 0,
        readers: 1,
        writers: 0,
        references: 3,
        aliases: 1,
        inode_references: 1,
        marks: 0,
        sequence: 1,
    };

    #[test]
    fn explains_references() {
        let table = [
            ("the agent alone", ALONE, 0, 0),
            (
                "two readers",
                Truth {
                    readers: 3,
                    references: 5,
                    ..ALONE
                },
                2,
                0,
            ),
            (
                "a writer",
                Truth {
                    writers: 1,
                    references: 4,
                    ..ALONE
                },
                1,
                0,
            ),
            (
                "a running program",
                Truth {
                    readers: 2,
                    writers: -1,
                    references: 4,
                    ..ALONE
                },
                1,
                0,
            ),
            (
                "O_PATH or a mount",
                Truth {
                    references: 4,
                    ..ALONE
                },
                0,
                1,
            ),
            (
                "a uprobe",
                Truth {
                    inode_references: 2,
                    ..ALONE
                },
                0,
                1,
            ),
            (
                "inotify",
                Truth {
                    inode_references: 2,
                    marks: 1,
                    ..ALONE
                },
                0,
                0,
            ),
            (
                "another name in the cache",
                Truth {
                    aliases: 2,
                    inode_references: 2,
                    ..ALONE
                },
                0,
                0,
            ),
            (
                "too many names",
                Truth {
                    aliases: 16,
                    references: 3,
                    inode_references: 40,
                    ..ALONE
                },
                0,
                0,
            ),
        ];
        for (what, truth, expected_files, expected_unexplained) in table {
            assert_eq!(files(&truth), expected_files, "{what}");
            assert_eq!(unexplained(&truth), expected_unexplained, "{what}");
            assert_eq!(
                references(&truth),
                expected_files + expected_unexplained,
                "{what}"
            );
        }
    }
}
