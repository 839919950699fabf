//! What ties a process to an inode.

use std::fmt;

/// One way in which one process keeps an inode in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Usage {
    /// The process: what the kernel calls a thread group.
    pub pid: u32,
    /// The inode's number.
    pub inode: u64,
    /// The filesystem's number, as in `st_dev`.
    pub device: u64,
    /// The inode's hard links; 0 keeps a superblock from going read-only.
    pub links: u64,
    /// Whether the inode is a directory, which no hold can keep.
    pub directory: bool,
    /// Whether it is open for writing, which keeps a mount from going read-only.
    pub writable: bool,
    /// How many mappings; 1 for every other way.
    pub times: u32,
    /// The way itself.
    pub how: How,
}

impl Usage {
    /// Each way and inode once, writable if any of them is; in the order of inodes and ways.
    pub fn merge(usages: &mut Vec<Self>) {
        usages.sort_unstable_by_key(|usage| (usage.inode, usage.how));
        usages.dedup_by(|again, first| {
            let same = (again.inode, again.how) == (first.inode, first.how);
            if same {
                first.writable |= again.writable;
                if first.how == How::Mapping {
                    first.times += again.times;
                }
            }
            same
        });
    }
}

/// How a process keeps an inode in use.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum How {
    /// An open file descriptor of this number.
    Descriptor(u32),
    /// A descriptor opened with `O_PATH`, which neither a lease nor `i_readcount` notices.
    PathDescriptor(u32),
    /// One or more mappings; the descriptor may be closed.
    Mapping,
    /// The running program.
    Executable,
    /// The working directory of one of its threads.
    WorkingDirectory,
    /// The root directory of one of its threads.
    Root,
    /// A file in this directory, which is removed, or a directory in it.
    Within,
    /// The working directory of one of its threads, in this directory, which is removed.
    WorkingWithin,
}

impl How {
    /// Whether it only stands there, as a shell does.
    pub fn stands(self) -> bool {
        matches!(self, Self::WorkingDirectory | Self::WorkingWithin)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor(number) => write!(f, "fd {number}"),
            Self::PathDescriptor(number) => write!(f, "fd {number} (O_PATH)"),
            Self::Mapping => f.write_str("mapping"),
            Self::Executable => f.write_str("executable"),
            Self::WorkingDirectory => f.write_str("working directory"),
            Self::Root => f.write_str("root"),
            Self::Within => f.write_str("a file in it"),
            Self::WorkingWithin => f.write_str("working directory in it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_and_inode_stands_once() {
        let usage = |inode, how, times, writable| Usage {
            pid: 7,
            inode,
            device: 1,
            links: 1,
            directory: false,
            writable,
            times,
            how,
        };
        let mut usages = vec![
            usage(2, How::Mapping, 5, false),
            usage(1, How::Mapping, 1, false),
            usage(2, How::Descriptor(3), 1, false),
            usage(2, How::Mapping, 2, true),
            usage(2, How::Descriptor(3), 1, true),
            usage(2, How::Descriptor(4), 1, false),
        ];
        Usage::merge(&mut usages);
        assert_eq!(
            usages,
            [
                usage(1, How::Mapping, 1, false),
                usage(2, How::Descriptor(3), 1, true),
                usage(2, How::Descriptor(4), 1, false),
                usage(2, How::Mapping, 7, true),
            ]
        );
    }

    #[test]
    fn shows_each_way() {
        let cases = [
            (How::Descriptor(3), "fd 3"),
            (How::PathDescriptor(4), "fd 4 (O_PATH)"),
            (How::Mapping, "mapping"),
            (How::Executable, "executable"),
            (How::WorkingDirectory, "working directory"),
            (How::Root, "root"),
            (How::Within, "a file in it"),
            (How::WorkingWithin, "working directory in it"),
        ];
        for (how, shown) in cases {
            assert_eq!(how.to_string(), shown);
        }
    }
}
