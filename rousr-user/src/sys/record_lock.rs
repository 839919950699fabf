//! POSIX record locks (fcntl(2)), as dpkg and its frontends take them.

use std::{fs::File, io};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// Whether another process has a lock on any part of `file`. Takes none itself.
///
/// # Errors
///
/// Fails where the filesystem knows no record locks.
pub fn is_held(file: &File) -> io::Result<bool> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}
