//! Who uses what, as `rousr holders` shows it.

mod question;
mod table;

use serde::{Deserialize, Serialize};

use super::protocol::Told;
use crate::track::{
    survey::Source,
    usage::{How, Usage},
};
pub use question::Question;
use table::table;

/// Which inodes are asked for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those that are held.
    Held,
    /// All of the volume.
    All,
    /// One.
    Inode(u64),
}

/// The processes that use the inodes asked for. In JSON, names are in camelCase; what is not UTF-8
/// is replaced.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holders {
    /// Where the volume is mounted.
    pub mount_point: String,
    /// How they were found.
    pub source: Source,
    /// What could not be told.
    pub warnings: Vec<String>,
    /// The inodes that are used, in the order of their numbers.
    pub files: Vec<File>,
    /// In the order of their numbers.
    pub processes: Vec<ProcessUses>,
}

/// An inode that is used.
#[derive(Debug, Serialize)]
pub struct File {
    /// Inode number.
    pub inode: u64,
    /// The path that the ledger knows, else one that the kernel shows; absent where neither does.
    pub path: Option<String>,
}

/// How they are told.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// Lines for people.
    Table,
}

impl Holders {
    /// As text, and what is to be known of it. Megabytes: it is made where the answer is found, and
    /// passed on unread.
    ///
    /// # Errors
    ///
    /// None but the serializer's.
    pub fn into_text(self, format: Format) -> serde_json::Result<(Told, Vec<u8>)> {
        let text = match format {
            Format::Json => serde_json::to_vec(&self)?,
            Format::Table => table(&self).into_bytes(),
        };
        let told = Told {
            source: self.source,
            processes: self.processes.len(),
            warnings: self.warnings,
            length: text.len(),
        };
        Ok((told, text))
    }
}

/// A process, and what it uses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUses {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot, as in /proc/PID/stat.
    pub start_time: u64,
    /// The command's name.
    pub comm: String,
    /// The program's path; absent where it cannot be seen.
    pub executable: Option<String>,
    /// The systemd unit.
    pub unit: Option<String>,
    /// The user whose manager runs the unit; absent for the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_user: Option<u32>,
    /// The container, by the name or the identifier in its control group's.
    pub container: Option<String>,
    /// By inode number and kind.
    pub uses: Vec<Use>,
}

/// One inode that a process uses, and one kind of use.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// Inode number.
    pub inode: u64,
    /// The kind.
    pub kind: Kind,
    /// Numbers of the descriptors, where the kind is one of descriptors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub descriptors: Vec<u32>,
    /// Number of mappings, where the kind is that.
    #[serde(skip_serializing_if = "is_zero")]
    pub mappings: u32,
    /// Whether any of them can write.
    #[serde(skip_serializing_if = "is_false")]
    pub writable: bool,
}

/// A kind of use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Open descriptors.
    Descriptor,
    /// Descriptors opened with `O_PATH`.
    PathDescriptor,
    /// Mappings.
    Mapping,
    /// The running program.
    Executable,
    /// The working directory of a thread.
    WorkingDirectory,
    /// The root directory of a thread.
    Root,
    /// A file in this directory, which is removed.
    Within,
    /// The working directory of a thread, in this directory, which is removed.
    WorkingWithin,
}

impl From<&Usage> for Use {
    fn from(usage: &Usage) -> Self {
        let mut first = Self {
            inode: usage.inode,
            kind: usage.how.into(),
            descriptors: Vec::new(),
            mappings: 0,
            writable: false,
        };
        first.add(usage);
        first
    }
}

impl Use {
    fn add(&mut self, usage: &Usage) {
        self.writable |= usage.writable;
        match usage.how {
            How::Descriptor(number) | How::PathDescriptor(number) => self.descriptors.push(number),
            How::Mapping => self.mappings += usage.times,
            How::Executable
            | How::WorkingDirectory
            | How::Root
            | How::Within
            | How::WorkingWithin => {}
        }
    }
}

impl From<How> for Kind {
    fn from(how: How) -> Self {
        match how {
            How::Descriptor(_) => Self::Descriptor,
            How::PathDescriptor(_) => Self::PathDescriptor,
            How::Mapping => Self::Mapping,
            How::Executable => Self::Executable,
            How::WorkingDirectory => Self::WorkingDirectory,
            How::Root => Self::Root,
            How::Within => Self::Within,
            How::WorkingWithin => Self::WorkingWithin,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
