//! The program that this process runs, and another one in its place.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd},
    thread::set_name,
};

/// Executes `program` in place of this one, in the same process (execve(2)). Returns only where that fails.
pub fn execute(
    program: &Path,
    arguments: &[OsString],
    variable: (&OsStr, &OsStr),
    passed: &[BorrowedFd<'_>],
) -> io::Error {
    for descriptor in passed {
        if let Err(error) = fcntl_setfd(descriptor, FdFlags::empty()) {
            return error.into();
        }
    }
    let error = Command::new(program)
        .arg0("rousr")
        .args(arguments)
        .env(variable.0, variable.1)
        .exec();
    for descriptor in passed {
        // A child of this process may have them meanwhile, and would keep them until it ends.
        let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
    error
}

/// What one passed to [`execute`].
///
/// # Errors
///
/// There is no such descriptor.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: it is borrowed for this call only, which says whether it is open at all.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: the descriptor is open, and nobody else in this process owns it: the image before this one
    // passed its number for us to own, and the caller asks once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// A copy of the running program that is on no filesystem.
///
/// # Errors
///
/// Fails without memory for it, or where the kernel forbids to run such copies (vm.memfd_noexec).
pub fn copy_of_this() -> io::Result<File> {
    // Linux before 6.3 does not know the flag, and lets all be run.
    let copy = match memfd_create("rousr", MemfdFlags::CLOEXEC | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create("rousr", MemfdFlags::CLOEXEC)?,
        copy => copy?,
    };
    let mut copy = File::from(copy);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    Ok(copy)
}

/// The path by which this process reaches a file of its own.
pub fn path_of(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Has this process called rousr again, which execve(2) calls by the path's last part.
///
/// # Errors
///
/// None that is known.
pub fn restore_name() -> io::Result<()> {
    Ok(set_name(c"rousr")?)
}
