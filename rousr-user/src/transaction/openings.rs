//! Why the volume is writable: a file in the runtime directory tells a restarted agent, and the
//! last hook of a rousr that is gone by then, that it is so on purpose.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Frontends;
use crate::{
    seal::Level,
    sys::{clock::unix_seconds, step::step},
};

/// The reasons, and the level to return to with the last one. Without any the volume is to be
/// sealed, and could not be yet.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Openings {
    /// The level to return to.
    pub wanted: Level,
    /// Each opener once.
    pub reasons: Vec<Opening>,
    /// Who runs the transaction that is one of them.
    #[serde(default)]
    pub frontends: Frontends,
}

/// One reason.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// For whom.
    #[serde(flatten)]
    pub opener: Opener,
    /// Since when, in seconds since 1970.
    pub began: u64,
}

/// For whom the volume is writable.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "for", rename_all = "kebab-case")]
pub enum Opener {
    /// A frontend of dpkg, until its last hook or until it lets go of its lock.
    Transaction,
    /// `rousr unseal`, until `rousr seal`.
    Administrator {
        /// Or until then, in seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// `rousr exec`, until it ends.
    Command {
        /// Its process.
        pid: u32,
        /// When that started, in clock ticks since boot, as in /proc/PID/stat.
        started: u64,
    },
}

/// A failed access to the file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}; is /run writable?", .path.display())]
pub struct OpeningsError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Opener {
    /// Whether both are the same reason, of which the later one counts.
    pub fn is_same(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Administrator { .. }, Self::Administrator { .. })
        ) || self == other
    }
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction => f.write_str("a transaction"),
            Self::Administrator { until: None } => {
                f.write_str("`rousr unseal`, until `rousr seal`")
            }
            Self::Administrator { until: Some(until) } => {
                let left = until.saturating_sub(unix_seconds());
                write!(f, "`rousr unseal`, until `rousr seal` or for {left} s more")
            }
            Self::Command { pid, .. } => write!(f, "`rousr exec` (pid {pid})"),
        }
    }
}

impl Openings {
    /// No reason yet.
    pub fn new(wanted: Level) -> Self {
        Self {
            wanted,
            reasons: Vec::new(),
            frontends: Frontends::default(),
        }
    }

    /// Adds a reason, or begins it anew.
    pub fn add(&mut self, opening: Opening) {
        self.reasons
            .retain(|reason| !opening.opener.is_same(reason.opener));
        self.reasons.push(opening);
    }

    /// Drops the reasons that are over.
    pub fn end(&mut self, is_over: impl Fn(Opener) -> bool) {
        self.reasons.retain(|reason| !is_over(reason.opener));
        if !self.openers().any(|opener| opener == Opener::Transaction) {
            self.frontends = Frontends::default();
        }
    }

    /// For whom the volume is writable.
    pub fn openers(&self) -> impl Iterator<Item = Opener> + '_ {
        self.reasons.iter().map(|reason| reason.opener)
    }

    /// What the file says, or `None` where there is none. A damaged one is as good as none: whatever
    /// is wanted follows from fstab then.
    ///
    /// # Errors
    ///
    /// Fails where the file is there and cannot be read.
    pub fn load(path: &Path) -> Result<Option<Self>, OpeningsError> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", path)(source)),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    ///
    /// Fails where the runtime directory is not writable.
    pub fn store(&self, path: &Path) -> Result<(), OpeningsError> {
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec(self).map_err(|error| failed("write", path)(error.into()))?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("make the directory of", path))?;
        }
        step("write the record");
        fs::write(&temporary, text).map_err(failed("write", &temporary))?;
        step("put the record in place");
        fs::rename(&temporary, path).map_err(failed("write", path))
    }

    /// Removes the file: the volume is as wanted.
    ///
    /// # Errors
    ///
    /// Fails where the file is there and cannot be removed.
    pub fn remove(path: &Path) -> Result<(), OpeningsError> {
        step("remove the record");
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpeningsError {
    move |source| OpeningsError {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: Opening = Opening {
        opener: Opener::Transaction,
        began: 1_700_000_000,
    };

    fn openings(reasons: &[Opening]) -> Openings {
        Openings {
            reasons: reasons.to_vec(),
            ..Openings::new(Level::Sealed)
        }
    }

    #[test]
    fn come_back_as_written_and_go() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("run/open");
        assert_eq!(Openings::load(&path).expect("no file"), None);

        let all = [
            TRANSACTION,
            Opening {
                opener: Opener::Administrator { until: Some(7) },
                began: 2,
            },
            Opening {
                opener: Opener::Command { pid: 3, started: 4 },
                began: 5,
            },
        ];
        for reasons in [&all[..], &[]] {
            let openings = openings(reasons);
            openings.store(&path).expect("stored");
            assert_eq!(Openings::load(&path).expect("the file"), Some(openings));
        }

        Openings::remove(&path).expect("removed");
        Openings::remove(&path).expect("removed before");
        assert_eq!(Openings::load(&path).expect("no file"), None);
    }

    #[test]
    fn a_damaged_file_is_none() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("open");
        for damaged in ["", "{", "{\"wanted\":\"half\"}", "{\"wanted\":\"sealed\"}"] {
            fs::write(&path, damaged).expect("written");
            assert_eq!(
                Openings::load(&path).expect("readable"),
                None,
                "{damaged:?}"
            );
        }
    }

    #[test]
    fn each_reason_stands_once_and_ends_alone() {
        let administrator = |until| Opening {
            opener: Opener::Administrator { until },
            began: 1,
        };
        let mut openings = openings(&[TRANSACTION]);
        openings.add(administrator(None));
        openings.add(TRANSACTION);
        openings.add(administrator(Some(7)));
        assert_eq!(openings.reasons, [TRANSACTION, administrator(Some(7))]);
        openings.end(|opener| opener == Opener::Transaction);
        assert_eq!(openings.reasons, [administrator(Some(7))]);
    }
}
