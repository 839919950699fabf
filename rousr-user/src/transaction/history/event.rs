//! A line of the history.

use std::{path::PathBuf, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    dpkg::hook::{Action, Kind, Version},
    hold::{
        escape,
        ledger::{Record, milliseconds},
    },
    seal::Level,
    track::process::Who,
    transaction::Opener,
};

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When, in milliseconds since 1970 (UTC).
    pub unix_milliseconds: u64,
    /// The mount point of another filesystem below /usr, where it is about one, as
    /// [`escape::escape`] writes it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "escape::path"
    )]
    pub beside: Option<PathBuf>,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum What {
    /// The volume was made writable.
    Opened {
        /// For whom.
        opener: Opener,
        /// Whether it was for nobody else at that time.
        #[serde(default)]
        is_first: bool,
    },
    /// dpkg is about to change packages; their files are held.
    Preserved {
        /// What apt announced; empty where dpkg was not to run.
        packages: Vec<Package>,
        /// Files of these.
        files: u64,
        /// Holds made.
        holds: u64,
    },
    /// All for whom it was open are done.
    Settled {
        /// How far it is sealed.
        level: Level,
        /// Holds removed at once, as nothing took their file's place or nobody used it.
        gone: u64,
        /// Holds left, of files in use.
        kept: u64,
    },
    /// It was sealed later, once nothing was in the way.
    Sealed {
        /// How far.
        level: Level,
    },
    /// A hold went with its file's last user.
    Reaped {
        /// What the ledger says of it.
        hold: Box<Record>,
        /// Who that was; absent where nobody can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_holder: Option<Who>,
    },
}

/// A package that was changed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The version before; absent for a new package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_version: Option<String>,
    /// The version after; absent for a removed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_version: Option<String>,
}

impl Event {
    /// Something that happens now.
    pub fn now(what: What) -> Self {
        Self {
            unix_milliseconds: milliseconds(SystemTime::now()),
            beside: None,
            what,
        }
    }
}

impl Package {
    /// What an action does to a package; `None` where it changes none.
    pub fn of(action: &Action) -> Option<Self> {
        let version = |version: &Option<Version>| Some(version.as_ref()?.version.clone());
        match action.kind {
            Kind::Unpack(_) | Kind::Remove => Some(Self {
                name: action.package.clone(),
                old_version: version(&action.old),
                new_version: version(&action.new),
            }),
            Kind::Configure | Kind::Error => None,
        }
    }
}
