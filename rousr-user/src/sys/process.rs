//! Other processes, the end of one and signals to one; and what this one may have.

use std::io;
use std::os::fd::OwnedFd;

pub use rustix::process::Signal;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, getrlimit, kill_process, pidfd_open, setrlimit,
};

/// A descriptor that becomes readable when the process ends (pidfd_open(2)).
///
/// # Errors
///
/// ESRCH: it has ended, and its parent knows.
pub fn end_of(pid: u32) -> io::Result<OwnedFd> {
    Ok(pidfd_open(number(pid)?, PidfdFlags::NONBLOCK)?)
}

/// Sends a signal.
///
/// # Errors
///
/// ESRCH: it has ended. EPERM: not by this process.
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process(number(pid)?, signal)?)
}

fn number(pid: u32) -> io::Result<Pid> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Raises this process's limit of descriptors as far as it may. Where it cannot be raised, what finds none
/// is told.
pub fn allow_many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}
