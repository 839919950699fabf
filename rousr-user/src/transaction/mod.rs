//! A transaction: from apt's Pre-Invoke to its Post-Invoke, and what is left of it afterwards.
//!
//! ```text
//!   sealed ── begin ──▶ open ── preserve ──▶ (dpkg runs) ── finish ──▶ sealed
//!     ▲                                                        │
//!     │                                                        ├──▶ mount-sealed, by a blocker
//!     └── reap, in a window ◀── last holder gone ◀── holds ◀───┘
//! ```
//!
//! The agent runs these steps; where it is not running, apt's hooks run the same code. Both take
//! the same lock.

mod begin;
mod beside;
mod dropped;
mod error;
mod finish;
mod frontends;
pub mod history;
mod keeper;
mod newcomers;
mod openings;
mod places;
mod preserve;
mod reap;
mod reconcile;
mod remember;
mod window;
mod write_order;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::seal::Level;

pub use error::Error;
pub use frontends::{Awaited, Frontend, Frontends, World};
pub use keeper::{HostKeeper, Keeper};
pub use openings::{Opener, Opening, Openings, OpeningsError};
pub use places::Places;
pub use reap::{Reaped, Reaping};
pub use write_order::WriteOrder;

/// What a step led to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The level afterwards.
    pub level: Level,
    /// The level wanted outside of transactions.
    pub wanted: Level,
    /// For whom the volume stays writable.
    pub open_for: Vec<Opener>,
    /// Holds made by this step.
    pub preserved: u64,
    /// Holds there are now.
    pub kept: u64,
    /// Whether these go by themselves as their last users do.
    pub watched: bool,
    /// Holds removed since nobody used their inode.
    pub reaped: u64,
    /// What did not go as it should, each with a next step.
    pub warnings: Vec<String>,
}
