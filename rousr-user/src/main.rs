//! Keeps a read-only `/usr` read-only across upgrades.
fn main() {}
