//! The record of an open transaction, in the runtime directory: it tells a restarted agent, and
//! the last hook of a rousr that is gone by then, that the volume is writable on purpose.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::seal::Level;

/// An open transaction.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The level to return to.
    pub wanted: Level,
    /// When it began, in seconds since 1970.
    pub began: u64,
}

/// A failed access to the record.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}; is /run writable?", .path.display())]
pub struct RecordError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Record {
    /// The open transaction, or `None`. A damaged record is as good as none: whatever is wanted
    /// follows from fstab then.
    ///
    /// # Errors
    ///
    /// Fails where the file is there and cannot be read.
    pub fn load(path: &Path) -> Result<Option<Self>, RecordError> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", path)(source)),
        }
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    ///
    /// Fails where the runtime directory is not writable.
    pub fn store(&self, path: &Path) -> Result<(), RecordError> {
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec(self).map_err(|error| failed("write", path)(error.into()))?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("make the directory of", path))?;
        }
        fs::write(&temporary, text).map_err(failed("write", &temporary))?;
        fs::rename(&temporary, path).map_err(failed("write", path))
    }

    /// Removes the record: the transaction is over.
    ///
    /// # Errors
    ///
    /// Fails where the file is there and cannot be removed.
    pub fn remove(path: &Path) -> Result<(), RecordError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    move |source| RecordError {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_written_and_goes() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("run/transaction");
        assert_eq!(Record::load(&path).expect("no record"), None);

        let record = Record {
            wanted: Level::Sealed,
            began: 1_700_000_000,
        };
        record.store(&path).expect("a record");
        assert_eq!(Record::load(&path).expect("the record"), Some(record));

        Record::remove(&path).expect("removed");
        Record::remove(&path).expect("removed before");
        assert_eq!(Record::load(&path).expect("no record"), None);
    }

    #[test]
    fn a_damaged_record_is_none() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("transaction");
        for damaged in ["", "{", "{\"wanted\":\"half\"}"] {
            fs::write(&path, damaged).expect("written");
            assert_eq!(Record::load(&path).expect("readable"), None, "{damaged:?}");
        }
    }
}
