//! The ledger: what the holds were. It annotates the hold directory, and decides nothing alone.
//!
//! One JSON object a line, only ever appended to. A line that cannot be read costs itself only.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::escape;
use super::preserve::{Name, Origin};

/// What happened to a hold.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// It was made, or another name of its inode became known.
    Preserved,
    /// It was removed, and its inode lives on by another name.
    Dropped,
    /// It was removed together with its inode.
    Reaped,
}

/// One line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When, in milliseconds since 1970 (UTC).
    pub unix_milliseconds: u64,
    /// What happened.
    pub event: Event,
    /// The hold's inode number.
    pub inode: u64,
    /// A name that the inode had, as [`escape::escape`] writes it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "escape::path"
    )]
    pub path: Option<PathBuf>,
    /// The package that it was of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The version that it was of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_version: Option<String>,
    /// The version that replaced it; none for a removed package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_version: Option<String>,
    /// How long the hold lived, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_milliseconds: Option<u64>,
}

/// What is known of a hold that is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// When it was made, in milliseconds since 1970 (UTC).
    pub since_unix_milliseconds: u64,
    /// The names that its inode had.
    pub names: Vec<Name>,
}

/// The holds that are there, by inode number.
pub type Entries = BTreeMap<u64, Entry>;

/// A line that cannot be read, or the whole file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}:{line}: {what}; what it said of a hold is lost, the hold is not", .path.display())]
pub struct Damage {
    /// The ledger.
    pub path: PathBuf,
    /// The line's number, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// The ledger could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: cannot write to the ledger: {source}; the holds are made all the same, only their paths are not \
     noted: check the directory and the space left",
    .path.display()
)]
pub struct Unwritable {
    /// The ledger.
    pub path: PathBuf,
    /// The call's error.
    source: io::Error,
}

/// A ledger file. Writers hold the [`super::Lock`].
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The ledger at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The holds that are there as far as the ledger knows, and what of it cannot be read.
    ///
    /// A ledger that is missing is empty.
    pub fn load(&self) -> (Entries, Vec<Damage>) {
        let damage = |(line, what)| Damage {
            path: self.path.clone(),
            line,
            what,
        };
        match fs::read(&self.path) {
            Ok(bytes) => {
                let (entries, damages) = parse(&bytes);
                (entries, damages.into_iter().map(damage).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
            Err(error) => (
                Entries::new(),
                vec![damage((0, format!("cannot be read: {error}")))],
            ),
        }
    }

    /// Appends `records` by one write, and waits until they are on disk.
    pub fn append(&self, records: &[Record]) -> Result<(), Unwritable> {
        if records.is_empty() {
            return Ok(());
        }
        self.try_append(records).map_err(|source| Unwritable {
            path: self.path.clone(),
            source,
        })
    }

    fn try_append(&self, records: &[Record]) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)?;
        let mut lines = Vec::new();
        if !ends_with_a_line(&file)? {
            lines.push(b'\n');
        }
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
        file.sync_data()
    }
}

/// Whether a new line can begin: an interrupted write must not take the next one along.
fn ends_with_a_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else {
        return Ok(true);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

impl Record {
    /// A hold was made, or one of its names became known.
    pub fn preserved(name: &Name, now: SystemTime) -> Self {
        let origin = name.origin.as_deref();
        Self {
            path: Some(name.path.clone()),
            package: origin.map(|origin| origin.package.clone()),
            old_version: origin.map(|origin| origin.old_version.clone()),
            new_version: origin.and_then(|origin| origin.new_version.clone()),
            ..Self::bare(Event::Preserved, name.inode, now)
        }
    }

    /// A hold was removed; `entry` is what was known of it.
    pub fn removed(event: Event, inode: u64, entry: Option<&Entry>, now: SystemTime) -> Self {
        let bare = Self::bare(event, inode, now);
        let life = entry.map(|entry| {
            bare.unix_milliseconds
                .saturating_sub(entry.since_unix_milliseconds)
        });
        let name = entry.and_then(|entry| entry.names.first());
        let named = name.map_or_else(|| bare.clone(), |name| Self::preserved(name, now));
        Self {
            event,
            life_milliseconds: life,
            ..named
        }
    }

    fn bare(event: Event, inode: u64, now: SystemTime) -> Self {
        Self {
            unix_milliseconds: milliseconds(now),
            event,
            inode,
            path: None,
            package: None,
            old_version: None,
            new_version: None,
            life_milliseconds: None,
        }
    }

    fn into_name(self) -> Option<Name> {
        let Self {
            inode,
            path,
            package,
            old_version,
            new_version,
            ..
        } = self;
        let origin = package.map(|package| {
            Arc::new(Origin {
                package,
                old_version: old_version.unwrap_or_default(),
                new_version,
            })
        });
        Some(Name {
            inode,
            path: path?,
            origin,
        })
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since_1970 = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    since_1970.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The holds that are there after all lines of `bytes`, and the lines that cannot be read.
fn parse(bytes: &[u8]) -> (Entries, Vec<(usize, String)>) {
    let mut entries = Entries::new();
    let mut damages = Vec::new();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(record) => apply(&mut entries, record),
            Err(error) => damages.push((number, without_position(&error))),
        }
    }
    (entries, damages)
}

/// serde_json counts the lines of what it was given, which is one.
fn without_position(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.rsplit_once(" at line ")
        .map_or(told.as_str(), |(what, _)| what)
        .to_owned()
}

fn apply(entries: &mut Entries, record: Record) {
    if record.event != Event::Preserved {
        entries.remove(&record.inode);
        return;
    }
    let fresh = Entry {
        since_unix_milliseconds: record.unix_milliseconds,
        names: Vec::new(),
    };
    let names = &mut entries.entry(record.inode).or_insert(fresh).names;
    let Some(name) = record.into_name() else {
        return;
    };
    names.retain(|known| known.path != name.path);
    names.push(name);
}
