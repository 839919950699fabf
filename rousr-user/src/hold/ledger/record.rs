//! A line of the ledger, and what all lines amount to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::hold::escape;
use crate::hold::preserve::{Name, Origin};

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
    /// It was found missing, as after a crash in between.
    Missed,
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

    /// A hold of which nothing else is known.
    pub fn bare(event: Event, inode: u64, now: SystemTime) -> Self {
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

    /// `last` is the origin of the line before, which is often this one's, too.
    fn into_name(self, last: &mut Option<Arc<Origin>>) -> Option<Name> {
        let Self {
            inode,
            path,
            package,
            old_version,
            new_version,
            ..
        } = self;
        let origin = package.map(|package| Origin {
            package,
            old_version: old_version.unwrap_or_default(),
            new_version,
        });
        if last.as_deref() != origin.as_ref() {
            *last = origin.map(Arc::new);
        }
        Some(Name {
            inode,
            path: path?,
            origin: last.clone(),
        })
    }
}

pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since_1970 = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    since_1970.as_millis().try_into().unwrap_or(u64::MAX)
}

/// What a ledger of these entries has at least, without writing it.
pub(super) fn least_bytes(entries: &Entries) -> u64 {
    const KEYS: usize = r#"{"unixMilliseconds":,"event":"","inode":}"#.len();
    let names = entries.values().flat_map(|entry| &entry.names);
    let bytes: usize = names.map(|name| KEYS + name.path.as_os_str().len()).sum();
    bytes as u64
}

/// What makes a ledger of these entries.
pub fn all(entries: &Entries) -> Vec<Record> {
    let mut records = Vec::new();
    for (&inode, entry) in entries {
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(entry.since_unix_milliseconds);
        if entry.names.is_empty() {
            records.push(Record::bare(Event::Preserved, inode, since));
        }
        let named = |name| Record::preserved(name, since);
        records.extend(entry.names.iter().map(named));
    }
    records
}

/// Brings the entries to what they are after one more line.
pub fn apply(entries: &mut Entries, record: Record) {
    apply_next(entries, record, &mut None);
}

/// The same with lines that follow each other: they share their `origin` as long as it stays the same.
pub(super) fn apply_next(entries: &mut Entries, record: Record, origin: &mut Option<Arc<Origin>>) {
    if record.event != Event::Preserved {
        entries.remove(&record.inode);
        return;
    }
    let fresh = Entry {
        since_unix_milliseconds: record.unix_milliseconds,
        names: Vec::new(),
    };
    let names = &mut entries.entry(record.inode).or_insert(fresh).names;
    let Some(name) = record.into_name(origin) else {
        return;
    };
    // Who is seen to use it still has the path, and no package to tell.
    let is_known = |known: &Name| known.path == name.path && known.origin.is_some();
    if name.origin.is_none() && names.iter().any(is_known) {
        return;
    }
    names.retain(|known| known.path != name.path);
    // Nearly all have one.
    names.reserve_exact(1);
    names.push(name);
}
