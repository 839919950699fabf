//! Boots that find what was left to them: each test in a guest of its own that was prepared for it
//! (`xtask/src/test/crashes.rs`).

mod crash;
