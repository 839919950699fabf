//! Files that can be held.

use std::{fs, io};

use crate::swap;

/// What a file has to contain to be held in some way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needs {
    /// Anything.
    Plain,
    /// An executable that writes each line of its standard input to its standard output and ends
    /// with it, and that takes `-` for standard input: cat. Mode 0755.
    Executable,
    /// A script for /bin/sh that writes the first line of its standard input to its standard output
    /// and ends with the second. Mode 0755.
    Script,
    /// Blocks for a loop device.
    Blocks,
    /// What mkswap writes, without holes.
    Swap,
}

impl Needs {
    /// A file's content that will do; `salt` makes it differ where it may.
    ///
    /// # Errors
    ///
    /// Fails where the machine's cat cannot be read.
    pub fn content(self, salt: u64) -> io::Result<Vec<u8>> {
        Ok(match self {
            Self::Plain => format!("{salt}\n").into_bytes(),
            Self::Executable => fs::read("/bin/cat")?,
            Self::Script => {
                format!("#!/bin/sh\n# {salt}\nread line; echo \"$line\"; read line\n").into_bytes()
            }
            Self::Blocks => salt.to_le_bytes().repeat(4096 / 8),
            Self::Swap => swap::area(16),
        })
    }

    /// The file's permissions.
    pub fn mode(self) -> u32 {
        match self {
            Self::Executable | Self::Script => 0o755,
            Self::Plain | Self::Blocks => 0o644,
            Self::Swap => 0o600,
        }
    }
}
