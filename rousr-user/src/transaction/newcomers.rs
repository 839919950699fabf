//! While dpkg runs: a hold for a file that somebody opens only now.

use std::{os::fd::AsFd as _, time::SystemTime};

use super::{Error, Keeper};
use crate::{
    hold::{Caught, Store, ledger::Record},
    sys::{lease::Leases, links::Links, mount::Mounts},
    track::Newcomer,
};

impl<M: Mounts, L: Links + Clone, S: Leases> Keeper<M, L, S> {
    /// Makes holds for files that were opened after [`preserve`](Self::preserve) has looked at what is in use.
    /// Nothing is done where nobody has the volume open any more: no name can be taken then. What else goes
    /// wrong is told beside it.
    ///
    /// # Errors
    ///
    /// Fails where no hold at all can be made, or another process is at work.
    pub fn preserve_opened(&self, newcomers: &[Newcomer]) -> Result<(Caught, Vec<String>), Error> {
        let mut warnings = Vec::new();
        let _lock = self.lock_soon()?;
        if self.openers()?.is_empty() {
            return Ok((Caught::default(), warnings));
        }
        let mount = self.seal.open()?;
        let store = Store::create(self.links.clone(), mount.as_fd(), &self.volume.mount_point)?;
        let opened = newcomers.iter();
        let caught = store
            .preserve_opened(opened.map(|newcomer| (newcomer.inode, newcomer.path.as_deref())));
        let now = SystemTime::now();
        let records = caught.names.iter().map(|name| Record::preserved(name, now));
        self.annotate(records, &mut warnings);
        Ok((caught, warnings))
    }
}
