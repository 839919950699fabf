//! What an agent has for as long as it lives, and passes on to a new image of itself: the lock that makes
//! it the only one, and the sockets where it is asked.

use std::{
    env,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd},
        unix::net::UnixListener,
    },
    path::Path,
    process,
};

use anyhow::Context as _;

use super::{metrics, protocol, server::bind};
use crate::{hold::Lock, sys::image};

/// The variable that tells a new image which descriptors are its own: the process's number, as its
/// children find it too, and those of lock, control socket and metrics socket.
pub(super) const PASSED: &str = "ROUSR_PASSED";

/// All of it.
#[derive(Debug)]
pub(super) struct Belongings {
    lock: Lock,
    pub(super) control: UnixListener,
    pub(super) metrics: UnixListener,
}

impl Belongings {
    /// Of an agent that begins.
    ///
    /// # Errors
    ///
    /// Fails where the sockets cannot be made.
    pub(super) fn new(lock: Lock) -> anyhow::Result<Self> {
        Ok(Self {
            lock,
            control: bind(Path::new(protocol::SOCKET))?,
            metrics: bind(Path::new(metrics::SOCKET))?,
        })
    }

    /// What an image before this one has passed on; `None` where this one is the first.
    ///
    /// # Errors
    ///
    /// Fails where that is not there.
    pub(super) fn inherited() -> anyhow::Result<Option<Self>> {
        let Some(text) = env::var_os(PASSED) else {
            return Ok(None);
        };
        let Some(numbers) = text.to_str().and_then(|text| parse(text, process::id())) else {
            return Ok(None);
        };
        let what = "cannot go on with what the agent before this one has passed on";
        let take = |number| image::inherited(number).context(what);
        let [lock, control, metrics] = numbers;
        Ok(Some(Self {
            lock: Lock::from(take(lock)?),
            control: UnixListener::from(take(control)?),
            metrics: UnixListener::from(take(metrics)?),
        }))
    }

    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [
            self.lock.as_fd(),
            self.control.as_fd(),
            self.metrics.as_fd(),
        ]
    }

    /// What [`PASSED`] is to say.
    pub(super) fn passed(&self) -> String {
        let numbers = self.descriptors().map(|fd| fd.as_raw_fd().to_string());
        format!("{}:{}", process::id(), numbers.join(":"))
    }
}

/// The descriptors that were passed to process `own`.
fn parse(text: &str, own: u32) -> Option<[RawFd; 3]> {
    let (pid, numbers) = text.split_once(':')?;
    if pid.parse() != Ok(own) {
        return None;
    }
    let numbers: Option<Vec<RawFd>> = (numbers.split(':'))
        .map(|number| number.parse().ok().filter(|&number| number > 2))
        .collect();
    numbers?.try_into().ok()
}

/// A socket as the event loop listens at it; this one stays to be passed on.
pub(super) fn listener(socket: &UnixListener) -> anyhow::Result<tokio::net::UnixListener> {
    let listener = socket.try_clone().and_then(|socket| {
        socket.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(socket)
    });
    listener.context("cannot listen on a socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_passed_to_this_process_is_taken() {
        assert_eq!(parse("7:3:4:5", 7), Some([3, 4, 5]));
        for text in [
            "",
            "7",
            "7:3:4",
            "7:3:4:5:6",
            "7:3:4:x",
            "7:2:4:5",
            "7:-1:4:5",
            "8:3:4:5",
        ] {
            assert_eq!(parse(text, 7), None, "{text}");
        }
    }

    #[test]
    fn what_is_passed_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name| folder.path().join(name);
        let belongings = Belongings {
            lock: Lock::try_acquire(&path("lock")).expect("free"),
            control: UnixListener::bind(path("control")).expect("bound"),
            metrics: UnixListener::bind(path("metrics")).expect("bound"),
        };
        let expected = belongings.descriptors().map(|fd| fd.as_raw_fd());
        assert_eq!(parse(&belongings.passed(), process::id()), Some(expected));
    }
}
