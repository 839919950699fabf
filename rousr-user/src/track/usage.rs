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
    /// The way itself.
    pub how: How,
}

/// How a process keeps an inode in use.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_each_way() {
        let cases = [
            (How::Descriptor(3), "fd 3"),
            (How::PathDescriptor(4), "fd 4 (O_PATH)"),
            (How::Mapping, "mapping"),
            (How::Executable, "executable"),
            (How::WorkingDirectory, "working directory"),
            (How::Root, "root"),
        ];
        for (how, shown) in cases {
            assert_eq!(how.to_string(), shown);
        }
    }
}
