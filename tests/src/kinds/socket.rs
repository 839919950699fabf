//! Descriptors on their way through sockets (SCM_RIGHTS).

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
};

use crate::wire;

pub(super) fn in_flight(path: &Path) -> io::Result<(UnixStream, UnixStream)> {
    let (from, to) = UnixStream::pair()?;
    wire::send(&from, b".", &[File::open(path)?.as_fd()])?;
    Ok((from, to))
}

/// The file is in the queue of a socket that no task has, which is in the queue of one that this
/// process has.
pub(super) fn nested(path: &Path) -> io::Result<(UnixStream, UnixStream)> {
    let (inner_from, inner_to) = in_flight(path)?;
    let (from, to) = UnixStream::pair()?;
    wire::send(&from, b".", &[inner_to.as_fd()])?;
    drop(inner_from);
    Ok((from, to))
}

/// A pair of sockets in the queue of one of them, beside the file. Collects it when dropped.
pub(super) struct Garbage(Collected);

/// Tells when the kernel has collected a dead socket: pipes in flight beside the file were closed.
pub(super) struct Collected([OwnedFd; 2]);

/// The collector of sockets that only sockets in flight keep (`unix_gc`) runs when a socket is closed,
/// in the closing task or, on newer kernels, in a kernel thread. It puts the files of a message in one
/// order or the other, so there is a pipe on either side.
/// <https://elixir.bootlin.com/linux/v6.12/source/net/unix/garbage.c>
pub(super) fn dead(path: &Path) -> io::Result<(Garbage, Collected)> {
    let file = File::open(path)?;
    let (first, first_sentinel) = pipe_with(PipeFlags::CLOEXEC)?;
    let (last, last_sentinel) = pipe_with(PipeFlags::CLOEXEC)?;
    let watch = Collected([first.try_clone()?, last.try_clone()?]);
    let (from, to) = UnixStream::pair()?;
    wire::send(
        &from,
        b".",
        &[
            first_sentinel.as_fd(),
            file.as_fd(),
            to.as_fd(),
            from.as_fd(),
            last_sentinel.as_fd(),
        ],
    )?;
    // Both ends are in flight: to close them ends neither, and so starts no collector.
    drop((from, to));
    Ok((Garbage(Collected([first, last])), watch))
}

impl Collected {
    pub(super) fn yet(&self) -> bool {
        self.0.iter().all(is_hung_up)
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.0.yet() {
            assert!(Instant::now() < end, "unix_gc left a dead socket for 10 s");
            // Closed at once: that is what starts the collector.
            drop(UnixStream::pair());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn is_hung_up(pipe: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    let at_once = Timespec::default();
    poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}
