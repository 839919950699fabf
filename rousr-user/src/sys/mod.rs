//! Every raw system call and every unsafe line of user space.
#![expect(
    unsafe_code,
    reason = "the one room for it; each block states why it is sound"
)]

pub mod readiness;
