//! Why a step failed.

use std::{io, path::PathBuf};

use super::{OpeningsError, history};
use crate::{
    hold::{self, lock},
    seal,
};

/// Why a step of a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// /usr is on no mounted filesystem.
    #[error("no mount holds {}; is /proc mounted?", .0.display())]
    NoVolume(PathBuf),
    /// The mounts, /proc or leases cannot be used at all.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The error.
        source: io::Error,
    },
    /// Another process is at work.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The level could not be changed.
    #[error(transparent)]
    Seal(#[from] seal::Error),
    /// The hold directory cannot be used.
    #[error(transparent)]
    Hold(#[from] hold::Error),
    /// The record of why the volume is writable cannot be used.
    #[error(transparent)]
    Openings(#[from] OpeningsError),
    /// What was done is not in the history.
    #[error(transparent)]
    History(#[from] history::Unwritable),
}

pub(super) fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { what, source }
}
