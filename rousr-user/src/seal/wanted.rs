//! What is wanted of the filesystem, and who says so.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Level, Volume, fstab};
use crate::{
    config::{self, Usr},
    sys::mount::MountState,
};

/// The level wanted outside of transactions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// As far as the other mounts of the superblock allow.
    pub level: Level,
    /// Who says so.
    pub by: Source,
}

/// Who says what is wanted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Source {
    /// The configuration.
    Configuration,
    /// fstab(5).
    Fstab {
        /// The line, from 1.
        line: usize,
    },
    /// It is read-only, though nothing says so.
    Found,
    /// It was to be read-only when it was made writable.
    Before,
    /// Nobody: it is left writable.
    Nobody,
}

impl Wanted {
    /// By the configuration, else by `fstab` (its content), else by `state`.
    ///
    /// Read-only in `state` before rousr touched it means as far as the other mounts of the
    /// superblock allow. Else it is [`Level::Open`]: rousr never seals what was not sealed.
    pub fn of(volume: &Volume, usr: Usr, fstab: &[u8], state: MountState) -> Self {
        let entry = fstab::entry(fstab, &volume.mount_point);
        let read_only = |by| Self {
            level: Level::reachable(state),
            by,
        };
        let open = |by| Self {
            level: Level::Open,
            by,
        };
        match (usr, entry) {
            (Usr::ReadOnly, _) => read_only(Source::Configuration),
            (Usr::Writable, _) => open(Source::Configuration),
            (Usr::Auto, Some(entry)) if entry.read_only => {
                read_only(Source::Fstab { line: entry.line })
            }
            (Usr::Auto, _) if Level::of(state) > Level::Open => read_only(Source::Found),
            (Usr::Auto, _) => open(Source::Nobody),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => write!(f, "by {}", config::PATH),
            Self::Fstab { line } => write!(f, "by line {line} of /etc/fstab"),
            Self::Found => f.write_str("as it was found"),
            Self::Before => f.write_str("as before it was made writable"),
            Self::Nobody => f.write_str("as nothing says otherwise"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mountinfo::Device;

    #[test]
    fn nothing_is_wanted_read_only_that_was_not() {
        let usr = Volume {
            mount_point: "/usr".into(),
            root: "/".into(),
            device: Device {
                major: 259,
                minor: 2,
            },
            fs_type: "ext4".into(),
            source: "/dev/nvme1n1".into(),
        };
        let ro: &[u8] = b"# /usr\nLABEL=usr /usr ext4 ro 0 2\n";
        let rw: &[u8] = b"LABEL=usr /usr ext4 defaults 0 2\n";
        let open = MountState::default();
        let mount_ro = MountState {
            mount_read_only: true,
            ..open
        };
        let shared = MountState {
            shared_writable: true,
            ..open
        };
        let shared_ro = MountState {
            superblock_read_only: true,
            ..shared
        };
        use Source::{Configuration, Found, Fstab, Nobody};
        let by_fstab = Fstab { line: 2 };
        let cases = [
            (Usr::Auto, ro, open, Level::Sealed, by_fstab),
            (Usr::Auto, rw, open, Level::Open, Nobody),
            (Usr::Auto, b"", open, Level::Open, Nobody),
            (Usr::Auto, rw, mount_ro, Level::Sealed, Found),
            (Usr::Auto, ro, shared, Level::MountSealed, by_fstab),
            (Usr::Auto, rw, shared, Level::Open, Nobody),
            (Usr::Auto, b"", shared_ro, Level::Sealed, Found),
            (Usr::ReadOnly, rw, open, Level::Sealed, Configuration),
            (
                Usr::ReadOnly,
                b"",
                shared,
                Level::MountSealed,
                Configuration,
            ),
            (Usr::Writable, ro, mount_ro, Level::Open, Configuration),
        ];
        for (configured, fstab, state, level, by) in cases {
            assert_eq!(
                Wanted::of(&usr, configured, fstab, state),
                Wanted { level, by },
                "{configured} {} {state:?}",
                fstab.escape_ascii()
            );
        }
    }
}
