//! The two read-only levels of a filesystem, and the window that opens it for a reap.
//!
//! ```text
//!             seal, nothing blocks
//!        ┌────────────────────────────────────┐
//!        │                                    ▼
//!      open ──── seal ───▶ mount-sealed ──▶ sealed ──┐
//!        ▲                   │       ▲        │  ▲   │ window
//!        └────── unseal ─────┴───────┼────────┘  └───┘
//!                                    └── an orphan or a writer is left
//! ```

mod elsewhere;
pub mod fstab;
pub mod level;
pub mod machine;
pub mod volume;
mod window;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use elsewhere::Left;
pub use level::Level;
pub use machine::{Error, Seal};
pub use volume::Volume;
