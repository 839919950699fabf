//! The ledger: what the holds were. It annotates the hold directory, and decides nothing alone.
//!
//! [JSON lines](crate::json_lines), written anew once most of them are about holds that are gone.
//!
//! No line is waited for: a process that ends takes none along, and after a power cut nobody uses
//! what is held, whatever it was.

mod recent;
mod record;

use std::fs::{self, File};
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{json_lines, sys::step::step};

use recent::Recent;
pub(crate) use record::milliseconds;
pub use record::{Entries, Entry, Event, Record, all, apply};

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
    recent: Recent,
}

impl Ledger {
    /// The ledger at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            recent: Recent::default(),
        }
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
        let mut entries = Entries::new();
        let mut origin = None;
        let read = File::open(&self.path).and_then(|file| {
            let take = |record| record::apply_next(&mut entries, record, &mut origin);
            json_lines::each(BufReader::new(file), take)
        });
        match read {
            Ok(damages) => (entries, damages.into_iter().map(damage).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
            Err(error) => (
                entries,
                vec![damage((0, format!("cannot be read: {error}")))],
            ),
        }
    }

    /// As [`load`](Self::load), but what this process has written itself is not read again.
    pub fn recall(&self) -> (Entries, Vec<Damage>) {
        match self.recent.take(&self.path) {
            Some(entries) => (entries, Vec::new()),
            None => self.load(),
        }
    }

    /// What it says of these holds, as far as it can be read.
    pub fn recall_of(&self, inodes: &[u64]) -> Entries {
        let of = |entries: &Entries| {
            let known = |inode| entries.get_key_value(inode);
            let known = inodes.iter().filter_map(known);
            known
                .map(|(&inode, entry)| (inode, entry.clone()))
                .collect()
        };
        match self.recent.take(&self.path) {
            Some(entries) => {
                let some = of(&entries);
                self.recent.put(&self.path, entries);
                some
            }
            None => of(&self.load().0),
        }
    }

    /// Appends `records`.
    pub fn append(&self, records: impl IntoIterator<Item = Record>) -> Result<(), Unwritable> {
        let mut records = records.into_iter().peekable();
        if records.peek().is_none() {
            return Ok(());
        }
        let mut known = self.recent.take(&self.path).or_else(|| self.read_small());
        let mut origin = None;
        step("append to the ledger");
        let written = |record| {
            if let Some(entries) = &mut known {
                record::apply_next(entries, record, &mut origin);
            }
        };
        json_lines::append(&self.path, records, written).map_err(self.unwritable())?;
        // Exactly what the file says now: else somebody would believe it, and not write what it lacks.
        if let Some(entries) = known {
            self.recent.put(&self.path, entries);
        }
        Ok(())
    }

    /// What it says, where that is read soon and without damage.
    fn read_small(&self) -> Option<Entries> {
        let (entries, damage) = self.is_small().then(|| self.load())?;
        damage.is_empty().then_some(entries)
    }

    /// Says that these holds are gone: by a line for each, or where nearly all of a large ledger is
    /// about them by one without them. `entries` is all that it says.
    pub fn remove(
        &self,
        mut entries: Entries,
        gone: &[(Event, u64)],
        now: SystemTime,
    ) -> Result<(), Unwritable> {
        if gone.len() * 4 <= entries.len() * 3 || self.is_small() {
            let record = |&(event, inode)| Record::removed(event, inode, entries.get(&inode), now);
            return self.append(gone.iter().map(record));
        }
        for (_, inode) in gone {
            entries.remove(inode);
        }
        self.rewrite(&entries, None)?;
        self.recent.put(&self.path, entries);
        Ok(())
    }

    /// Writes the ledger anew where most of it is about holds that are gone.
    pub fn compact(&self, entries: &Entries) -> Result<(), Unwritable> {
        let length = self.length();
        if self.is_small() || record::least_bytes(entries) > length / 4 {
            return Ok(());
        }
        let lines = json_lines::to_lines(&all(entries))
            .map_err(io::Error::from)
            .map_err(self.unwritable())?;
        match length / 4 > lines.len() as u64 {
            true => self.replace(&lines, None).map_err(self.unwritable()),
            false => Ok(()),
        }
    }

    /// Puts what is known of the holds that are there in the place of a damaged ledger, and tells
    /// where that is now.
    pub fn replace_damaged(&self, entries: &Entries) -> Result<PathBuf, Unwritable> {
        let now = milliseconds(SystemTime::now());
        let aside = self.path.with_extension(format!("damaged-{now}"));
        self.rewrite(entries, Some(&aside))?;
        Ok(aside)
    }

    fn rewrite(&self, entries: &Entries, aside: Option<&Path>) -> Result<(), Unwritable> {
        json_lines::to_lines(&all(entries))
            .map_err(io::Error::from)
            .and_then(|lines| self.replace(&lines, aside))
            .map_err(self.unwritable())
    }

    fn is_small(&self) -> bool {
        const SMALL: u64 = 256 << 10;
        self.length() < SMALL
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// The old one or the new one, whole: here a crash could leave nothing of what was there.
    fn replace(&self, lines: &[u8], aside: Option<&Path>) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(lines)?;
        file.sync_all()?;
        step("move the ledger aside");
        if let Some(aside) = aside {
            fs::rename(&self.path, aside)?;
        }
        step("replace the ledger");
        fs::rename(&new, &self.path)
    }

    fn unwritable(&self) -> impl FnOnce(io::Error) -> Unwritable {
        |source| Unwritable {
            path: self.path.clone(),
            source,
        }
    }
}
