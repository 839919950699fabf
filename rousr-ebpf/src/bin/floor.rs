//! Programs that do nothing, on the hooks and iterators that rousr's use: what the kernel asks for
//! being hooked, or walked, at all. `cargo xtask bench` holds rousr against them.
#![no_std]
#![no_main]

use aya_ebpf::{macros::lsm, programs::LsmContext};

/// Hands back the verdict of the programs before it.
#[lsm(hook = "file_open")]
fn file_open(ctx: LsmContext) -> i32 {
    ctx.arg(1)
}

#[lsm(hook = "file_free_security")]
fn file_free_security(_ctx: LsmContext) -> i32 {
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn walk_files(_context: *const u8) -> i32 {
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
extern "C" fn walk_mappings(_context: *const u8) -> i32 {
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
