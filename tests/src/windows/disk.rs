//! What is written to the disk of /usr.

use std::{fs, os::fd::AsFd as _};

use anyhow::Context as _;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick},
};

/// 512-byte sectors written to it so far.
pub(super) fn sectors() -> anyhow::Result<u64> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let line = mounts
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/usr"));
    let device = line
        .and_then(|line| line.split(' ').nth(2))
        .context("/usr is a mount")?;
    let stat = fs::read_to_string(format!("/sys/dev/block/{device}/stat"))?;
    // Documentation/block/stat.rst: the seventh is write sectors.
    let written = stat
        .split_whitespace()
        .nth(6)
        .context("stat has eleven fields")?;
    Ok(written.parse()?)
}

/// Makes the superblock of /usr, which is sealed, writable and read-only again, so many times.
pub(super) fn flip(times: u64) -> anyhow::Result<()> {
    let usr = openat(CWD, "/usr", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    for _ in 0..times {
        for flag in [c"rw", c"ro"] {
            let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
            let context = fspick(&usr, c"", flags)?;
            fsconfig_set_flag(context.as_fd(), flag)?;
            fsconfig_reconfigure(context.as_fd())?;
        }
    }
    Ok(())
}
