//! The programs: a file is opened, a file is gone, and two iterators that visit what was open
//! before.
//!
//! A holder is a `struct file`. Each one on a watched inode stands in `FILES` under its own
//! address, so that a birth and the visits of the iterators count it once, and its death takes
//! off only what was counted.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "atomics that return the old value have no stable interface on the BPF target"
)]

mod counts;
mod files;
mod iterators;
mod kernel;
mod newcomers;
mod people;
mod run;
mod sealing;
mod visits;

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, lsm},
    programs::{FEntryContext, LsmContext},
};
use aya_log_ebpf::debug;
use kernel::File;

/// Runs in `do_dentry_open` once `f_inode` is set and the kernel's own counters are up. `O_PATH`
/// opens leave that function before.
#[lsm(hook = "file_open")]
fn file_open(ctx: LsmContext) -> i32 {
    let file = File::from_kernel(ctx.arg(0));
    if counts::opened(file) {
        debug!(&ctx, "process {} opened a held file", process());
    }
    // The last argument is the verdict of the programs before this one.
    ctx.arg(1)
}

/// Runs once the kernel's counters are down, just before the memory of the file is freed.
#[lsm(hook = "file_free_security")]
fn file_free_security(ctx: LsmContext) -> i32 {
    let file = File::from_kernel(ctx.arg(0));
    if counts::released(file) {
        debug!(&ctx, "process {} released a held file", process());
    }
    0
}

/// The function that calls `file_open`'s programs. The kernel skips a fentry program that
/// preempted itself and counts that in `recursion_misses`.
#[fentry(function = "security_file_open")]
fn security_file_open(ctx: FEntryContext) -> i32 {
    let file = File::from_kernel(ctx.arg(0));
    if counts::opened(file) {
        debug!(&ctx, "process {} opened a held file", process());
    }
    0
}

/// The function that calls `file_free_security`'s programs.
#[fentry(function = "security_file_free")]
fn security_file_free(ctx: FEntryContext) -> i32 {
    let file = File::from_kernel(ctx.arg(0));
    if counts::released(file) {
        debug!(&ctx, "process {} released a held file", process());
    }
    0
}

/// For the log, which may hold no addresses: the verifier lets none be taken apart.
fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
