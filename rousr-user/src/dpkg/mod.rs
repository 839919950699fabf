//! apt's hook protocol and dpkg's database.
//!
//! [`hook`], [`database`] and [`candidates`] are pure: bytes in, values out. [`admin_dir`] and
//! [`environment`] do the reading.

pub mod admin_dir;
pub mod archive;
pub mod candidates;
pub mod database;
pub mod environment;
pub mod frontend;
pub mod hook;
