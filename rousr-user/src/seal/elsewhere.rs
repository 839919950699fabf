//! The filesystem's mounts in other mount namespaces.
//!
//! A unit with PrivateTmp= or a container that started while the volume was writable has a mount of
//! it with a flag of its own, which nothing that is done to the visible mount changes. Where the
//! superblock has to stay writable, and in each window, a write gets through there.

use std::io;

use super::{Error, Seal};
use crate::sys::{mount::Mounts, namespace::Foreign};

/// A mount that stays writable, and why.
#[derive(Debug)]
pub struct Left {
    /// The mount.
    pub foreign: Foreign,
    /// Why it could not be sealed; `None` where it is somebody's own, such as a bind mount of a part.
    pub error: Option<io::Error>,
}

impl<M: Mounts> Seal<M> {
    /// Mounts of the filesystem in other mount namespaces that are not read-only.
    pub fn writable_elsewhere(&self) -> Result<Vec<Foreign>, Error> {
        let mount = self.open()?;
        self.mounts()
            .writable_elsewhere(&mount)
            .map_err(self.failed("look into other mount namespaces", "/proc/PID/mountinfo"))
    }

    /// Makes the copies of the visible mount in other mount namespaces read-only, and tells what is
    /// left.
    pub fn seal_elsewhere(&self) -> Result<Vec<Left>, Error> {
        let mut left = Vec::new();
        for foreign in self.writable_elsewhere()? {
            let error = match foreign.whole {
                true => match self.mounts().seal_foreign(&foreign) {
                    Ok(()) => continue,
                    Err(error) => Some(error),
                },
                false => None,
            };
            left.push(Left { foreign, error });
        }
        Ok(left)
    }
}
