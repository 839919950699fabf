//! The keeper of one volume, and the two steps that only turn the seal.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Frontend, Opener, Opening, Openings, OpeningsError, Outcome, World,
    history::{self, Event, History, What},
};
use crate::{
    config::{self, Config, Usr},
    dpkg::{admin_dir::AdminDir, frontend},
    hold::{self, Ledger, Listing, Lock, Store, ledger, lock},
    seal::{self, Level, Seal, Volume, Wanted, wanted::Source},
    sys::{
        clock::unix_seconds,
        lease::{HostLeases, Leases},
        links::{HostLinks, Links},
        mount::{HostMounts, Mounts, read_mountinfo},
    },
    track::process::is_running,
};

/// What is to be kept read-only.
pub(super) const USR: &str = "/usr";

/// How long a step waits for another process's step to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for a step that is tried again where it fails.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The settings.
    pub config: PathBuf,
    /// What the administrator wants read-only.
    pub fstab: PathBuf,
    /// What the holds were.
    pub ledger: PathBuf,
    /// What the transactions were.
    pub history: PathBuf,
    /// The mount point, where the volume is not that of /usr.
    pub beside: Option<PathBuf>,
    /// One writer at a time.
    pub lock: PathBuf,
    /// Why the volume is writable.
    pub openings: PathBuf,
    /// There while the administrator has rousr disabled.
    pub disabled: PathBuf,
    /// dpkg's database.
    pub dpkg: AdminDir,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            config: config::PATH.into(),
            fstab: "/etc/fstab".into(),
            ledger: "/var/lib/rousr/ledger".into(),
            history: "/var/lib/rousr/history".into(),
            beside: None,
            lock: "/run/rousr/lock".into(),
            openings: "/run/rousr/open".into(),
            disabled: "/var/lib/rousr/disabled".into(),
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
    /// The record of why the volume is writable cannot be used.
    #[error(transparent)]
    Openings(#[from] OpeningsError),
    /// What was done is not in the history.
    #[error(transparent)]
    History(#[from] history::Unwritable),
}

/// Keeps one volume: owns its seal and its holds.
#[derive(Debug)]
pub struct Keeper<M, L, S> {
    pub(super) volume: Volume,
    pub(super) seal: Seal<M>,
    pub(super) links: L,
    pub(super) leases: S,
    pub(super) ledger: Ledger,
    history: History,
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

    /// Its openers that are gone and did not tell their end.
    ///
    /// Of one of which it cannot be told it is assumed: sealed too early is told at once, and open for
    /// ever is not.
    ///
    /// # Errors
    ///
    /// As [`openings`](Self::openings).
    pub fn abandoned(&self) -> Result<Vec<Opener>, Error> {
        let Some(openings) = self.openings()? else {
            return Ok(Vec::new());
        };
        let openers = openings.openers();
        Ok(openers
            .filter(|&opener| self.is_over(&openings, opener))
            .collect())
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

    /// Makes the volume writable, and records for whom and what is wanted afterwards.
    ///
    /// # Errors
    ///
    /// Fails where the volume stays read-only; nothing has changed then.
    pub fn open_for(&self, opener: Opener) -> Result<Outcome, Error> {
        self.open_by(opener, None)
    }

    fn open_by(&self, opener: Opener, frontend: Option<Frontend>) -> Result<Outcome, Error> {
        let _lock = self.lock()?;
        let wanted = self.wanted()?;
        if wanted == Level::Open {
            return self.outcome(wanted);
        }
        let before = self.openings()?;
        let mut openings = before.clone().unwrap_or_else(|| Openings::new(wanted));
        openings.add(Opening {
            opener,
            began: unix_seconds(),
        });
        if opener == Opener::Transaction {
            openings.frontends.enter(frontend, self);
        }
        let mut warnings = Vec::new();
        warnings.extend(self.config().err().map(|error| error.to_string()));
        // Without the record a crash leaves the volume writable until the next transaction, which
        // is no reason not to upgrade.
        if let Err(error) = openings.store(&self.places.openings) {
            warnings.push(error.to_string());
        }
        if let Err(error) = self.seal.unseal() {
            self.take_back(before);
            return Err(error.into());
        }
        self.note([What::Opened { opener }], &mut warnings);
        Ok(Outcome {
            warnings,
            ..self.outcome(wanted)?
        })
    }

    /// Half an unseal is none. What fails here is less than what failed before, which is told.
    fn take_back(&self, before: Option<Openings>) {
        let _ = match before {
            Some(before) => before.store(&self.places.openings),
            None => {
                let _ = self.seal.seal();
                Openings::remove(&self.places.openings)
            }
        };
    }

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// As [`open_for`](Self::open_for).
    pub fn begin(&self) -> Result<Outcome, Error> {
        self.begin_by(None)
    }

    /// Begins a transaction of this frontend, or one inside of another's.
    ///
    /// # Errors
    ///
    /// As [`open_for`](Self::open_for).
    pub fn begin_by(&self, frontend: Option<Frontend>) -> Result<Outcome, Error> {
        self.open_by(Opener::Transaction, frontend)
    }

    pub(super) fn is_over(&self, openings: &Openings, opener: Opener) -> bool {
        match opener {
            Opener::Transaction => openings.frontends.are_gone(self),
            Opener::Administrator { until } => until.is_some_and(|until| until <= unix_seconds()),
            Opener::Command { pid, started } => !is_running(pid, started),
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
    pub(super) fn annotate(&self, records: &[ledger::Record], trouble: &mut Vec<String>) {
        if let Err(error) = self.ledger.append(records) {
            trouble.push(error.to_string());
        }
    }

    /// Writes to the history what only its caller knows.
    ///
    /// # Errors
    ///
    /// Fails where another process is at work, or the file cannot be written.
    pub fn remember(&self, what: impl IntoIterator<Item = What>) -> Result<(), Error> {
        let _lock = self.lock_soon()?;
        Ok(self.history.append(&self.events(what))?)
    }

    fn events(&self, what: impl IntoIterator<Item = What>) -> Vec<Event> {
        let event = |what| Event {
            beside: self.places.beside.clone(),
            ..Event::now(what)
        };
        what.into_iter().map(event).collect()
    }

    /// Writes to the history, which is for people only: a failure is told and nothing else.
    pub(super) fn note(&self, what: impl IntoIterator<Item = What>, trouble: &mut Vec<String>) {
        if let Err(error) = self.history.append(&self.events(what)) {
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

pub(super) fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { what, source }
}
