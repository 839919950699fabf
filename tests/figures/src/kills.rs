//! rousr killed at a step of a transaction, as the guest tells it.

use serde::{Deserialize, Serialize};

/// What the program in the guest is to do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// What is done at random follows from it and from a kill's number.
    pub seed: u64,
    /// The first kill's number.
    pub first: u64,
    /// How many.
    pub kills: u64,
    /// Who is killed; at random where none is given.
    pub role: Option<Role>,
    /// In which act; at random where none is given.
    pub act: Option<Act>,
    /// Before which of its steps, from 1; at random where none is given.
    pub step: Option<u64>,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The agent; also what systemd runs when it has ended.
    Agent,
    /// A hook that has the agent do the work.
    Hook,
    /// A hook that does the work itself, as no agent runs.
    LoneHook,
}

/// What apt does meanwhile. A daemon and a script of the package run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// It upgrades a package.
    Upgrade,
    /// It removes it.
    Removal,
}

/// One kill, or two where the next process of that role was to be killed as well.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kill {
    /// Its number.
    pub number: u64,
    /// Who.
    pub role: Role,
    /// When.
    pub act: Act,
    /// The number of the step that each death came before, and what that step was.
    pub deaths: Vec<String>,
    /// From the end of apt, or of what an administrator did, to a sealed /usr, milliseconds.
    pub sealed_ms: u64,
    /// apt failed and was run once more.
    pub again: bool,
    /// /usr was not sealed in time without help.
    pub unsealed: u64,
    /// Holds that were there after their holders, entries of the ledger without a hold, strays.
    pub leaked: u64,
    /// Files that dpkg or debsums miss or find changed.
    pub lost: u64,
    /// What was found wrong.
    pub faults: Vec<String>,
}

impl Kill {
    /// Whether something was not as it has to be.
    pub fn is_failed(&self) -> bool {
        !self.faults.is_empty() || self.unsealed + self.leaked + self.lost > 0
    }
}

/// A line that the program in the guest writes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// What it does.
    Progress(String),
    /// A kill and what came of it.
    Kill(Box<Kill>),
}
