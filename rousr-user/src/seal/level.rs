//! How far a filesystem is read-only.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sys::mount::MountState;

/// How far a mounted filesystem is read-only, from not at all to completely.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Writable.
    Open,
    /// This mount is read-only; the superblock is not, for a blocker or another mount's sake.
    MountSealed,
    /// The superblock is read-only, and nobody writes through whichever mount.
    Sealed,
}

impl Level {
    /// The level that a mount's flags amount to.
    pub fn of(state: MountState) -> Self {
        match state {
            MountState {
                superblock_read_only: true,
                ..
            } => Self::Sealed,
            MountState {
                mount_read_only: true,
                ..
            } => Self::MountSealed,
            _ => Self::Open,
        }
    }

    /// The highest level that takes nothing from the superblock's other mounts.
    pub fn reachable(state: MountState) -> Self {
        match state {
            MountState {
                superblock_read_only: false,
                shared_writable: true,
                ..
            } => Self::MountSealed,
            _ => Self::Sealed,
        }
    }

    /// The word for it, in views, logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::MountSealed => "mount-sealed",
            Self::Sealed => "sealed",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(
        mount_read_only: bool,
        superblock_read_only: bool,
        shared_writable: bool,
    ) -> MountState {
        MountState {
            mount_read_only,
            superblock_read_only,
            shared_writable,
            frozen: None,
        }
    }

    #[test]
    fn flags_amount_to_levels() {
        let cases = [
            (state(false, false, false), Level::Open, Level::Sealed),
            (state(true, false, false), Level::MountSealed, Level::Sealed),
            (state(true, true, false), Level::Sealed, Level::Sealed),
            // The superblock's flag alone stops every write.
            (state(false, true, false), Level::Sealed, Level::Sealed),
            (state(false, false, true), Level::Open, Level::MountSealed),
            (
                state(true, false, true),
                Level::MountSealed,
                Level::MountSealed,
            ),
            // Read-only already: staying so takes nothing from the other mount.
            (state(true, true, true), Level::Sealed, Level::Sealed),
        ];
        for (state, level, reachable) in cases {
            assert_eq!(
                (Level::of(state), Level::reachable(state)),
                (level, reachable),
                "{state:?}"
            );
        }
    }

    #[test]
    fn words_are_the_same_everywhere_and_levels_are_ordered() {
        let levels = [Level::Open, Level::MountSealed, Level::Sealed];
        assert!(levels.is_sorted());
        for level in levels {
            assert_eq!(
                serde_json::to_string(&level).expect("serializes"),
                format!("\"{level}\"")
            );
        }
    }
}
