//! Every raw system call and every unsafe line of user space.
//!
//! Each group of calls is a trait, so that the rooms above are tested without root against fakes.
#![expect(
    unsafe_code,
    reason = "this is the room for it; each block says why it is sound"
)]

pub mod clock;
pub mod file_handle;
pub mod frozen;
pub mod image;
pub mod lease;
pub mod links;
pub mod loop_device;
pub mod map_batch;
pub mod mount;
pub mod mountinfo;
pub mod namespace;
pub mod open_permission;
pub mod process;
pub mod readiness;
pub mod record_lock;
pub mod security;
pub mod step;
