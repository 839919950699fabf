//! The keeper of one volume.

use std::{
    cell::RefCell,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    time::Duration,
};

use super::{
    Error, Frontend, Opener, Openings, Outcome, Places, World, error::failed, history::History,
};
use crate::{
    config::{self, Config, Usr},
    dpkg::frontend,
    hold::{self, Census, Ledger, Listing, Lock, Store, ledger},
    seal::{Level, Seal, Volume, Wanted, wanted::Source},
    sys::{
        lease::{HostLeases, Leases},
        links::{HostLinks, Links},
        mount::{HostMounts, Mounts, read_mountinfo},
    },
};

/// What is to be kept read-only.
pub(super) const USR: &str = "/usr";

/// How long a step waits for another process's step to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for a step that is tried again where it fails.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);

/// Keeps one volume: owns its seal and its holds.
#[derive(Debug)]
pub struct Keeper<M, L, S> {
    pub(super) volume: Volume,
    pub(super) seal: Seal<M>,
    pub(super) links: L,
    pub(super) leases: S,
    pub(super) ledger: Ledger,
    pub(super) history: History,
    pub(super) places: Places,
    /// How long windows were open that nobody asked for yet.
    pub(super) windows: RefCell<Vec<Duration>>,
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
        let usr = Path::new(USR);
        let mountinfo = read_mountinfo().map_err(failed("read the mounts"))?;
        let volume =
            Volume::containing(usr, &mountinfo).ok_or_else(|| Error::NoVolume(usr.to_owned()))?;
        Self::of(volume, places)
    }

    pub(super) fn of(volume: Volume, places: Places) -> Result<Self, Error> {
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
            history: History::new(&places.history),
            places,
            windows: RefCell::default(),
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

    /// What the transactions were.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The level as it is.
    ///
    /// # Errors
    ///
    /// Fails where the mount is gone.
    pub fn level(&self) -> Result<Level, Error> {
        Ok(self.seal.level()?)
    }

    /// The level wanted outside of transactions, as [`wanted_by`](Self::wanted_by).
    ///
    /// # Errors
    ///
    /// Fails where the mount is gone.
    pub fn wanted(&self) -> Result<Level, Error> {
        Ok(self.wanted_by()?.level)
    }

    /// What is wanted outside of transactions: what the first opener found, else what the
    /// configuration, fstab or the volume says. What is configured to be writable is so at once. What
    /// was not read-only is never made so.
    ///
    /// # Errors
    ///
    /// Fails where the mount is gone.
    pub fn wanted_by(&self) -> Result<Wanted, Error> {
        // Why it cannot be used is told by who asks for it.
        let usr = self.config().unwrap_or_default().usr;
        if let Some(openings) = self.openings()?
            && usr != Usr::Writable
        {
            return Ok(Wanted {
                level: openings.wanted,
                by: Source::Before,
            });
        }
        let state = self.seal.state()?;
        // Without an fstab the mount's own flags say what is wanted.
        let fstab = std::fs::read(&self.places.fstab).unwrap_or_default();
        Ok(Wanted::of(&self.volume, usr, &fstab, state))
    }

    /// The settings, as they are in the file now.
    ///
    /// # Errors
    ///
    /// Fails where the file is there and cannot be used.
    pub fn config(&self) -> Result<Config, config::Error> {
        Config::load(&self.places.config)
    }

    /// Why the volume is writable, where it is by rousr.
    ///
    /// # Errors
    ///
    /// Fails where the record is unreadable.
    pub fn openings(&self) -> Result<Option<Openings>, Error> {
        Ok(Openings::load(&self.places.openings)?)
    }

    /// For whom the volume is writable.
    ///
    /// # Errors
    ///
    /// As [`openings`](Self::openings).
    pub fn openers(&self) -> Result<Vec<Opener>, Error> {
        let openings = self.openings()?;
        Ok(openings.map_or_else(Vec::new, |openings| openings.openers().collect()))
    }

    /// dpkg's database.
    pub fn admin_dir(&self) -> &Path {
        self.places.dpkg.path()
    }

    /// The two read-only levels.
    pub fn seal(&self) -> &Seal<M> {
        &self.seal
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

    /// The holds there are, by their numbers.
    ///
    /// # Errors
    ///
    /// As [`holds`](Self::holds).
    pub fn census(&self) -> Result<Census, Error> {
        let mount = self.seal.open()?;
        match self.store(mount.as_fd())? {
            Some(store) => Ok(store.census()?),
            None => Ok(Census::default()),
        }
    }

    pub(super) fn lock(&self) -> Result<Lock, Error> {
        Ok(Lock::acquire_timeout(&self.places.lock, PATIENCE)?)
    }

    /// For what can be tried again: the caller has others to serve.
    pub(super) fn lock_soon(&self) -> Result<Lock, Error> {
        Ok(Lock::acquire_timeout(&self.places.lock, SHORT_PATIENCE)?)
    }

    /// The store below `root`, which is the visible mount's root or a window's.
    pub(super) fn store<'r>(
        &'r self,
        root: BorrowedFd<'r>,
    ) -> Result<Option<Store<'r, L>>, hold::Error> {
        Store::open(self.links.clone(), root, &self.volume.mount_point)
    }

    /// Writes to the ledger. It only annotates, so a failure is told and nothing else.
    pub(super) fn annotate(
        &self,
        records: impl IntoIterator<Item = ledger::Record>,
        trouble: &mut Vec<String>,
    ) {
        if let Err(error) = self.ledger.append(records) {
            trouble.push(error.to_string());
        }
    }

    pub(super) fn outcome(&self, wanted: Level) -> Result<Outcome, Error> {
        Ok(Outcome {
            level: self.level()?,
            wanted,
            open_for: self.openers()?,
            preserved: 0,
            kept: 0,
            watched: false,
            reaped: 0,
            warnings: Vec::new(),
        })
    }
}

impl<M, L, S> World for Keeper<M, L, S> {
    fn is_locked(&self) -> bool {
        frontend::is_locked(self.places.dpkg.path()).unwrap_or(false)
    }

    fn is_running(&self, frontend: Frontend) -> bool {
        frontend.is_running()
    }
}
