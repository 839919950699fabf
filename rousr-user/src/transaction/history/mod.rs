//! What has been: transactions, what each changed and held, and how that went in the end.
//!
//! The ledger forgets a hold that is gone; this is where it is looked up afterwards. Nothing is decided by it.

mod event;
mod transaction;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

pub use event::{Event, Package, What};
pub use transaction::{Gone, Transaction, transactions};

use crate::json_lines;

/// How long a file grows before the next one is begun; one more is kept. Each has some thousand transactions
/// of a dozen packages.
const LIMIT: u64 = 1 << 20;

/// The history could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: cannot write to the history: {source}; `rousr history` lacks this: check the directory and the \
     space left",
    .path.display()
)]
pub struct Unwritable {
    path: PathBuf,
    source: io::Error,
}

/// The history could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot read the history: {source}", .path.display())]
pub struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

/// The file of the history, and the one before it.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
    limit: u64,
}

impl History {
    /// The history at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            limit: LIMIT,
        }
    }

    /// Appends events. Writers hold the lock of a step.
    ///
    /// # Errors
    ///
    /// Fails where the file cannot be written.
    pub fn append(&self, events: Vec<Event>) -> Result<(), Unwritable> {
        if events.is_empty() {
            return Ok(());
        }
        let append = || {
            if fs::metadata(&self.path).is_ok_and(|file| file.len() > self.limit) {
                fs::rename(&self.path, self.before())?;
            }
            json_lines::append(&self.path, events, drop)
        };
        append().map_err(|source| Unwritable {
            path: self.path.clone(),
            source,
        })
    }

    /// All events that are known, and what cannot be read of them.
    ///
    /// # Errors
    ///
    /// Fails where a file is there and cannot be read.
    pub fn load(&self) -> Result<(Vec<Event>, Vec<String>), Unreadable> {
        let mut events = Vec::new();
        let mut damages = Vec::new();
        let paths = [self.before(), self.path.clone()];
        for (path, bytes) in paths.iter().zip(self.read_both(&paths)?) {
            let (found, damaged) = json_lines::parse(&bytes);
            events.extend(found);
            damages.extend(damaged.into_iter().map(|(line, what)| {
                format!("{}:{line}: {what}; what it said is lost", path.display())
            }));
        }
        Ok((events, damages))
    }

    /// Again where the next file was begun in between.
    fn read_both(&self, paths: &[PathBuf; 2]) -> Result<[Vec<u8>; 2], Unreadable> {
        let inode = || fs::metadata(&self.path).map(|file| file.ino()).ok();
        loop {
            let before = inode();
            let both = [read(&paths[0])?, read(&paths[1])?];
            if before.is_none() || inode() == before {
                return Ok(both);
            }
        }
    }

    fn before(&self) -> PathBuf {
        self.path.with_extension("1")
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Level;

    fn sealed(at: u64) -> Event {
        Event {
            unix_milliseconds: at,
            beside: None,
            what: What::Sealed {
                level: Level::Sealed,
            },
        }
    }

    #[test]
    fn it_is_bounded_and_the_newest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History {
            path: folder.path().join("history"),
            limit: 1000,
        };
        for at in 0..200 {
            history.append(vec![sealed(at)]).expect("appended");
        }
        let sizes = fs::read_dir(folder.path()).expect("listed");
        let sizes: Vec<u64> = sizes
            .map(|file| file.and_then(|file| file.metadata()).expect("there").len())
            .collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|&size| size < 1100), "{sizes:?}");
        let (events, damages) = history.load().expect("read");
        assert!(damages.is_empty(), "{damages:?}");
        let newest = 200 - events.len() as u64;
        assert_eq!(events, Vec::from_iter((newest..200).map(sealed)));
        assert!(events.len() > 12, "{}", events.len());
    }

    #[test]
    fn a_torn_write_costs_itself_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::new(folder.path().join("history"));
        history
            .append(vec![sealed(1), sealed(2)])
            .expect("appended");
        let whole = fs::read(&history.path).expect("read");
        let first = whole.len() / 2;
        for torn in first..whole.len() {
            fs::write(&history.path, &whole[..torn]).expect("torn");
            history.append(vec![sealed(3)]).expect("appended");
            let (events, damages) = history.load().expect("read");
            let expected = match torn == whole.len() - 1 {
                true => vec![sealed(1), sealed(2), sealed(3)],
                false => vec![sealed(1), sealed(3)],
            };
            assert_eq!((events, damages.len()), (expected, 0), "torn at {torn}");
        }
    }

    #[test]
    fn a_damaged_line_is_told_by_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::new(folder.path().join("history"));
        history.append(vec![sealed(1)]).expect("appended");
        let mut bytes = fs::read(&history.path).expect("read");
        bytes.extend(b"garbage\n");
        fs::write(&history.path, bytes).expect("damaged");
        history.append(vec![sealed(2)]).expect("appended");
        let (events, damages) = history.load().expect("read");
        assert_eq!(events, [sealed(1), sealed(2)]);
        assert!(damages[0].contains("history:2: "), "{damages:?}");
    }
}
