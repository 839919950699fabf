//! Waiting for a descriptor in tokio's event loop.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers `source` with the current runtime, to be told when it becomes readable.
///
/// # Errors
///
/// Fails where the descriptor cannot be polled.
///
/// # Panics
///
/// Panics outside a tokio runtime.
pub fn readable<T: AsFd + AsRawFd>(source: T) -> io::Result<AsyncFd<T>> {
    register(source, Interest::READABLE)
}

/// As [`readable`], to be told of urgent data (POLLPRI).
///
/// # Errors
///
/// As `readable`.
///
/// # Panics
///
/// As `readable`.
pub fn urgent<T: AsFd + AsRawFd>(source: T) -> io::Result<AsyncFd<T>> {
    register(source, Interest::PRIORITY)
}

fn register<T: AsFd + AsRawFd>(source: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: a type that lends its descriptor by `AsFd` keeps it open, and the same, as long as
    // it lives; `AsyncFd` owns `source` and deregisters before dropping it.
    let registered = unsafe { AsyncFd::register_with_interest(source, interest) };
    Ok(registered?)
}
