//! apt's hook protocol and dpkg's database.

pub mod hook;
