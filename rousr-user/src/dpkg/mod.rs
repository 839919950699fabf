//! apt's hook protocol and dpkg's database.
//!
//! [`hook`], [`database`], [`command_line`] and [`candidates`] are pure: bytes in, values out. [`admin_dir`],
//! [`alone`], [`package`] and [`environment`] do the reading.

pub mod admin_dir;
pub mod alone;
pub mod archive;
pub mod candidates;
pub mod command_line;
pub mod database;
pub mod environment;
pub mod frontend;
pub mod hook;
pub mod package;
