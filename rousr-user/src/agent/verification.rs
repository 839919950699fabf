//! What is counted beside what the kernel knows, as `rousr verify` shows it.

use serde::{Deserialize, Serialize};

use crate::{hold::ledger::Entries, track::Comparison};

/// Every watched inode. In JSON, names are in camelCase.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// All of them.
    pub inodes: Vec<Compared>,
    /// Those whose count is wrong.
    pub differences: Vec<Compared>,
}

/// One watched inode.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Inode number.
    pub inode: u64,
    /// Where the file was; absent where the ledger does not know. What is not UTF-8 is replaced.
    pub path: Option<String>,
    /// Open files as rousr counts them, `O_PATH` ones left out.
    pub counted: u64,
    /// The same by the kernel's own counters.
    pub kernel: u64,
    /// Of these, how many tasks reach by a descriptor or a mapping.
    pub visible: u64,
    /// Of these, how many no task reaches: in flight in a socket, of a loop device, of io_uring.
    pub dark: u64,
    /// Of these, how many rousr does not count: dark ones, born before it watched.
    pub uncounted: u64,
    /// Files opened with `O_PATH` that tasks reach.
    pub paths: u64,
    /// Other references of the kernel: a mount, a uprobe, an `O_PATH` descriptor in flight.
    pub pins: u64,
}

impl Verification {
    /// Puts paths to inodes.
    pub fn new(comparisons: &[Comparison], entries: &Entries) -> Self {
        let compared = |comparison: &Comparison| {
            let name = entries
                .get(&comparison.inode)
                .and_then(|entry| entry.names.first());
            Compared {
                inode: comparison.inode,
                path: name.map(|name| name.path.to_string_lossy().into_owned()),
                counted: comparison.counted,
                kernel: comparison.kernel,
                visible: comparison.visible,
                dark: comparison.dark(),
                uncounted: comparison.uncounted(),
                paths: comparison.paths,
                pins: comparison.pins,
            }
        };
        let different = comparisons.iter().filter(|comparison| !comparison.agrees());
        Self {
            inodes: comparisons.iter().map(compared).collect(),
            differences: different.map(compared).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_right_between_what_tasks_reach_and_what_the_kernel_knows() {
        for (counted, visible, kernel, right) in [
            (0, 0, 0, true),
            (2, 2, 2, true),
            (3, 2, 3, true),
            (2, 2, 3, true),
            (1, 2, 3, false),
            (4, 2, 3, false),
            (1, 0, 0, false),
        ] {
            let comparison = Comparison {
                inode: 7,
                counted,
                kernel,
                visible,
                ..Comparison::default()
            };
            let verification = Verification::new(&[comparison], &Entries::new());
            assert_eq!(verification.inodes.len(), 1);
            assert_eq!(
                verification.differences.is_empty(),
                right,
                "{counted} {visible} {kernel}"
            );
        }
    }
}
