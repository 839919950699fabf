//! The two read-only levels of a filesystem, and the window that opens it for a reap.
//!
//! ```text
//!             seal, nothing blocks
//!        ┌────────────────────────────────────┐
//!        │                                    ▼
//!      open ──── seal ───▶ mount-sealed ──▶ sealed
//!        ▲                  │  │    ▲        │  ▲
//!        └────── unseal ────┴──┼────┼────────┤  │
//!                              ▼    │        ▼  │
//!                             window ───────────┘
//!                               an orphan or a writer is left: mount-sealed
//! ```
//!
//! Each arrow is [`Seal::move_to`](Seal), which takes the steps that `step` names.

mod elsewhere;
mod error;
pub mod fstab;
pub mod level;
pub mod machine;
mod step;
pub mod volume;
pub mod wanted;
mod window;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use elsewhere::Left;
pub use error::Error;
pub use level::Level;
pub use machine::Seal;
pub use step::State;
pub use volume::Volume;
pub use wanted::Wanted;
