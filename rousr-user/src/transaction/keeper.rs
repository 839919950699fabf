//! The keeper of one volume, and the two steps that only turn the seal.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Outcome, Record, RecordError};
use crate::{
    dpkg::{admin_dir::AdminDir, frontend},
    hold::{self, Ledger, Listing, Lock, Store, ledger, lock},
    seal::{self, Level, Seal, Volume},
    sys::{
        lease::{HostLeases, Leases},
        links::{HostLinks, Links},
        mount::{HostMounts, Mounts, read_mountinfo},
    },
};

/// How long a step waits for another process's step to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// What the administrator wants read-only.
    pub fstab: PathBuf,
    /// What the holds were.
    pub ledger: PathBuf,
    /// One writer at a time.
    pub lock: PathBuf,
    /// The open transaction.
    pub record: PathBuf,
    /// dpkg's database.
    pub dpkg: AdminDir,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            fstab: "/etc/fstab".into(),
            ledger: "/var/lib/rousr/ledger".into(),
            lock: "/run/rousr/lock".into(),
            record: "/run/rousr/transaction".into(),
            dpkg: AdminDir::from_environment(),
        }
    }
}

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
    /// The record of the transaction cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Keeps one volume: owns its seal and its holds.
#[derive(Debug)]
pub struct Keeper<M, L, S> {
    pub(super) volume: Volume,
    pub(super) seal: Seal<M>,
    pub(super) links: L,
    pub(super) leases: S,
    pub(super) ledger: Ledger,
    pub(super) places: Places,
}

/// The keeper on the running kernel.
pub type HostKeeper = Keeper<HostMounts, HostLinks, HostLeases>;

impl HostKeeper {
    /// The keeper of the volume that holds /usr.
    ///
    /// # Errors
    ///
    /// Fails where the mounts cannot be read.
    pub fn open(places: Places) -> Result<Self, Error> {
        let usr = Path::new("/usr");
        let mountinfo = read_mountinfo().map_err(failed("read the mounts"))?;
        let volume =
            Volume::containing(usr, &mountinfo).ok_or_else(|| Error::NoVolume(usr.to_owned()))?;
        let leases = HostLeases::new().map_err(failed("ignore SIGIO"))?;
        Ok(Self::new(volume, HostMounts, HostLinks, leases, places))
    }
}

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// A keeper on the given kernel.
    pub fn new(volume: Volume, mounts: M, links: L, leases: S, places: Places) -> Self {
        Self {
            seal: Seal::new(mounts, &volume.mount_point),
            volume,
            links,
            leases,
            ledger: Ledger::new(&places.ledger),
            places,
        }
    }

    /// What it keeps.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// What the holds were.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The level as it is.
    ///
    /// # Errors
    ///
    /// Fails where the mount is gone.
    pub fn level(&self) -> Result<Level, Error> {
        Ok(self.seal.level()?)
    }

    /// The level wanted outside of transactions: what the open transaction found, else what fstab
    /// says or the volume has. What was not read-only is never made so.
    ///
    /// # Errors
    ///
    /// Fails where the mount is gone.
    pub fn wanted(&self) -> Result<Level, Error> {
        if let Some(record) = self.record()? {
            return Ok(record.wanted);
        }
        let state = self.seal.state()?;
        // Without an fstab the mount's own flags say what is wanted.
        let fstab = std::fs::read(&self.places.fstab).unwrap_or_default();
        Ok(self.volume.wanted(&fstab, state))
    }

    /// The open transaction.
    ///
    /// # Errors
    ///
    /// Fails where the record is unreadable.
    pub fn record(&self) -> Result<Option<Record>, Error> {
        Ok(Record::load(&self.places.record)?)
    }

    /// Whether a transaction is open and its frontend still holds dpkg's lock. A frontend that died
    /// left the record behind.
    ///
    /// # Errors
    ///
    /// Fails where the record or the lock cannot be looked at.
    pub fn transaction_is_running(&self) -> Result<bool, Error> {
        Ok(self.record()?.is_some()
            && frontend::is_locked(self.places.dpkg.path())
                .map_err(failed("look at dpkg's frontend lock"))?)
    }

    /// Tells when the open transaction's frontend may have ended.
    ///
    /// # Errors
    ///
    /// As [`frontend::Closes::of`].
    pub fn frontend_closes(&self) -> Result<frontend::Closes, Error> {
        frontend::Closes::of(self.places.dpkg.path())
            .map_err(failed("be told of the end of dpkg's frontend"))
    }

    /// The holds there are.
    ///
    /// # Errors
    ///
    /// Fails where the hold directory is not ours.
    pub fn holds(&self) -> Result<Listing, Error> {
        let mount = self.seal.open()?;
        match self.store(mount.as_fd())? {
            Some(store) => Ok(store.list()?),
            None => Ok(Listing::default()),
        }
    }

    /// Begins a transaction: records what is wanted, and makes the volume writable.
    ///
    /// # Errors
    ///
    /// Fails where the volume stays read-only; nothing has changed then.
    pub fn begin(&self) -> Result<Outcome, Error> {
        let _lock = self.lock()?;
        let wanted = self.wanted()?;
        if wanted == Level::Open {
            return self.outcome(wanted);
        }
        let mut warnings = Vec::new();
        // Without the record a crash leaves the volume writable until the next transaction, which
        // is no reason not to upgrade.
        let record = Record {
            wanted,
            began: unix_seconds(),
        };
        if let Err(error) = record.store(&self.places.record) {
            warnings.push(error.to_string());
        }
        if let Err(error) = self.seal.unseal() {
            // Half an unseal is none.
            Record::remove(&self.places.record)?;
            self.seal.seal()?;
            return Err(error.into());
        }
        Ok(Outcome {
            warnings,
            ..self.outcome(wanted)?
        })
    }

    pub(super) fn lock(&self) -> Result<Lock, Error> {
        Ok(Lock::acquire_timeout(&self.places.lock, PATIENCE)?)
    }

    /// The store below `root`, which is the visible mount's root or a window's.
    pub(super) fn store<'r>(
        &'r self,
        root: BorrowedFd<'r>,
    ) -> Result<Option<Store<'r, L>>, hold::Error> {
        Store::open(self.links.clone(), root, &self.volume.mount_point)
    }

    /// Writes to the ledger. It only annotates, so a failure is told and nothing else.
    pub(super) fn annotate(&self, records: &[ledger::Record], trouble: &mut Vec<String>) {
        if let Err(error) = self.ledger.append(records) {
            trouble.push(error.to_string());
        }
    }

    pub(super) fn outcome(&self, wanted: Level) -> Result<Outcome, Error> {
        Ok(Outcome {
            level: self.level()?,
            wanted,
            preserved: 0,
            kept: 0,
            reaped: 0,
            warnings: Vec::new(),
        })
    }
}

pub(super) fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { what, source }
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
