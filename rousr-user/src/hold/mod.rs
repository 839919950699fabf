//! The hold store: hard links that keep replaced inodes linked until their last holder is gone.
//!
//! A hold is `.rousr/INODE` at the top of a volume's mount. The directory is the truth; the ledger
//! only says what the holds were: path, package, versions, since when.
//!
//! ```text
//! preserve ──▶ hold ──▶ settle ──▶ dropped   (the inode still has its name: nothing was replaced)
//!                          │ ├───▶ reaped    (nobody uses it)
//!                          ▼
//!                         kept ──▶ probe ──▶ reaped   (the last holder is gone)
//! ```

mod entry;
pub mod error;
pub mod escape;
mod find;
pub mod ledger;
pub mod lock;
mod newcomers;
mod place;
pub mod preserve;
pub mod reap;
pub mod settle;
pub mod store;
pub mod verdict;

pub use entry::interrupted;
pub use error::Error;
pub use ledger::Ledger;
pub use lock::Lock;
pub use newcomers::Caught;
pub use preserve::{Candidate, Origin, Preserved};
pub use reap::{Probe, Probed, Reap};
pub use settle::{Settled, Sorted};
pub use store::{Census, Hold, Listing, Store};

#[cfg(test)]
mod tests;
