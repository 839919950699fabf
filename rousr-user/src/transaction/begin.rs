//! The volume is made writable for somebody, whose end is found out where it is not told.

use super::{Error, Frontend, Keeper, Opener, Opening, Openings, Outcome, history::What};
use crate::{
    seal::Level,
    sys::{clock::unix_seconds, lease::Leases, links::Links, mount::Mounts},
    track::process::is_running,
};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
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
        let is_first = before
            .as_ref()
            .is_none_or(|before| before.reasons.is_empty());
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
        // Without the record nobody is known to need it: it would be sealed at once.
        openings.store(&self.places.openings)?;
        if let Err(error) = self.seal.unseal() {
            self.take_back(before);
            return Err(error.into());
        }
        self.note([What::Opened { opener, is_first }], &mut warnings);
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

    pub(super) fn is_over(&self, openings: &Openings, opener: Opener) -> bool {
        match opener {
            Opener::Transaction => openings.frontends.are_gone(self),
            Opener::Administrator { until } => until.is_some_and(|until| until <= unix_seconds()),
            Opener::Command { pid, started } => !is_running(pid, started),
        }
    }
}
