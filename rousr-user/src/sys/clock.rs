//! The clocks.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` gives it: the kernel side stamps its
/// records with it.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // It counts up from the boot: neither part is negative.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The wall clock, in whole seconds since 1970; 0 before that.
pub fn unix_seconds() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0)
}
