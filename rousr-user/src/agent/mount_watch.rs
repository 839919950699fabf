//! Tells when a mount of this mount namespace has come, gone or changed.

use std::{fs::File, future, io};

use tokio::io::{Interest, unix::AsyncFd};

use crate::sys::readiness::urgent;

/// Waits for the kernel's word: /proc/PID/mountinfo is ready for urgent data then (proc(5),
/// `mounts_poll` in fs/proc_namespace.c). Nothing is polled in between.
#[derive(Debug)]
pub(super) struct MountWatch(Option<AsyncFd<File>>);

impl MountWatch {
    /// From now on. Without /proc nothing is told.
    pub(super) fn new() -> Self {
        match watch() {
            Ok(mounts) => Self(Some(mounts)),
            Err(error) => {
                tracing::warn!("mounts that come and go are not noticed: {error}");
                Self(None)
            }
        }
    }

    /// Returns once something has changed since the last time. Cancelling the wait loses nothing.
    pub(super) async fn changed(&mut self) {
        let Some(mounts) = &self.0 else {
            return future::pending().await;
        };
        match mounts.ready(Interest::PRIORITY).await {
            Ok(mut ready) => ready.clear_ready(),
            Err(error) => {
                tracing::warn!("mounts that come and go are not noticed any more: {error}");
                self.0 = None;
            }
        }
    }
}

fn watch() -> io::Result<AsyncFd<File>> {
    urgent(File::open("/proc/self/mountinfo")?)
}
