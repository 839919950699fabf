//! A whole upgrade of a guest, as the guest tells it.

use serde::{Deserialize, Serialize};

/// By what software is changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frontend {
    /// `apt full-upgrade`.
    Apt,
    /// `aptitude full-upgrade`.
    Aptitude,
    /// `unattended-upgrade`, in steps as small as can be: its default.
    UnattendedUpgrades,
    /// `dpkg -i` of all package files, and again of what it refused for the order.
    Dpkg,
}

/// What the program in the guest is to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// By what.
    pub frontend: Frontend,
}

/// One package that changes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its name.
    pub name: String,
    /// The source that it is built from.
    pub source: String,
    /// The version before.
    pub old: String,
    /// The version after.
    pub new: String,
    /// What its files take, KiB, as it says itself.
    pub kib: u64,
    /// The same files under a higher version, as the archive has nothing newer.
    pub is_repacked: bool,
}

/// One upgrade, and the restarts after it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Packages that have the new version after it.
    pub upgraded: u64,
    /// The frontend's exit status.
    pub status: i32,
    /// How long it ran, seconds.
    pub seconds: u64,
    /// Transactions for whom /usr was writable.
    pub transactions: u64,
    /// Holds made.
    pub made: u64,
    /// How far /usr was sealed when the frontend had ended, by the kernel's flags: `sealed`,
    /// `mount-sealed` or `open`.
    pub level: String,
    /// Inodes of /usr without a name and in use then, by all processes' descriptors and mappings.
    pub orphans: Vec<String>,
    /// Holds then.
    pub holds: u64,
    /// What these take, bytes.
    pub bytes: u64,
    /// Who used them.
    pub units: Vec<String>,
    /// What `rousr restart` left and was done by hand then.
    pub by_hand: Vec<String>,
    /// Holds in the end.
    pub left: u64,
    /// What was found wrong.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether something was not as it has to be.
    pub fn is_failed(&self) -> bool {
        !self.faults.is_empty()
    }
}

/// A line that the program in the guest writes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// What it does.
    Progress(String),
    /// What came of it.
    Report(Box<Report>),
}
