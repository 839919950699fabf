//! Holds, each with one holder: a descriptor of this program.

use std::fs::File;

use crate::{is_sealed, made, succeed};

/// What /usr is while holds are reaped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Usr {
    /// Read-only: a window is opened for each reap.
    Sealed,
    /// Writable, as fstab says: no window.
    Writable,
}

impl Usr {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Writable => "writable",
        }
    }

    /// Whether nothing of the last reap is still to be done.
    pub(super) fn settled(self) -> bool {
        self == Self::Writable || is_sealed()
    }

    fn options(self) -> &'static str {
        match self {
            Self::Sealed => "ro",
            Self::Writable => "rw",
        }
    }
}

/// Holds and their holders.
pub(super) struct Holds(Vec<(u64, File)>);

impl Holds {
    /// Makes `count` files whose only name is a hold's, and turns /usr into what is wanted; no agent
    /// runs meanwhile.
    pub(super) fn make(count: usize, usr: Usr) -> anyhow::Result<Self> {
        succeed("mount -o remount,rw /usr");
        let holds = (0..count)
            .map(|_| made::hold())
            .collect::<anyhow::Result<_>>()?;
        let options = usr.options();
        succeed(&format!(
            "sed -i 's|^\\(LABEL=usr */usr *ext4 *\\)r[ow]|\\1{options}|' /etc/fstab; \
             mount -o remount,{options} /usr"
        ));
        Ok(Self(holds))
    }

    /// The inode numbers and the holders.
    pub(super) fn into_inner(self) -> Vec<(u64, File)> {
        self.0
    }
}
