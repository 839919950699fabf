//! The tracker for kernels that refuse BPF: it is told of closes, and counts nothing.
//!
//! A mark on each watched inode makes the kernel tell of the last close of every open file of it
//! (`__fput`), whether a descriptor, a mapping, a running program or a message in flight kept it.
//! How many are left the lease has to say. Not seen are `O_PATH` descriptors, and files that the
//! kernel opens without telling (`FMODE_NONOTIFY`), such as those in another fanotify listener's events.
//! A file on an inode that is not marked costs nothing.

mod group;
mod looks;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::future;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::io::unix::AsyncFd;

use super::{Health, News, Pin, Release, TrackError, Tracker};
use crate::sys::clock::monotonic;
use crate::sys::file_handle::FileHandle;
use crate::sys::readiness::readable;
use group::{Group, Limits};
use looks::Looks;
use record::Event;

/// Why fanotify cannot stand in.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No group could be made.
    #[error(
        "the kernel refuses fanotify: {0}; it takes CONFIG_FANOTIFY, and CAP_SYS_ADMIN or Linux 5.13"
    )]
    Refused(Errno),
    /// The volume's inodes cannot be marked.
    #[error("fanotify does not work on {}: {why}", .volume.display())]
    Volume {
        /// Where it is mounted.
        volume: PathBuf,
        /// What failed.
        why: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The group could not be polled.
    #[error("cannot wait for fanotify's events: {0}")]
    Poll(io::Error),
}

/// Is told of closes by fanotify.
#[derive(Debug)]
pub struct FanotifyTracker {
    group: AsyncFd<Group>,
    /// The thread group whose closes may be our own probes'.
    own: i32,
    watched: HashMap<u64, Watched>,
    numbers: HashMap<FileHandle, u64>,
    looks: Looks,
    /// Closes told by the kernel, but for our own probes'.
    releases: u64,
    losses: u64,
    /// Why there is no exact tracker.
    reason: String,
}

#[derive(Debug)]
struct Watched {
    /// To find the mark again.
    file: OwnedFd,
    handle: FileHandle,
    /// Whoever was told to look probes the inode, and the kernel tells of the end of that probe.
    probed: bool,
}

impl FanotifyTracker {
    /// Prepares for inodes of the volume mounted at `volume`. `reason`: why the exact tracker is
    /// not available.
    ///
    /// # Errors
    ///
    /// Says why the kernel or the filesystem does not allow it. Must be called within a tokio
    /// runtime.
    pub fn open(volume: &Path, reason: impl Into<String>) -> Result<Self, Unavailable> {
        let group = group_for(volume)?;
        Self::with(group, rustix::process::getpid().as_raw_pid(), reason.into())
    }

    fn with(group: Group, own: i32, reason: String) -> Result<Self, Unavailable> {
        Ok(Self {
            group: readable(group).map_err(Unavailable::Poll)?,
            own,
            watched: HashMap::new(),
            numbers: HashMap::new(),
            looks: Looks::default(),
            releases: 0,
            losses: 0,
            reason,
        })
    }

    fn enter(&mut self, pin: Pin) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let handle = FileHandle::of(pin.file.as_fd())?;
        self.group.get_ref().mark(pin.file.as_fd())?;
        self.numbers.insert(handle.clone(), pin.inode);
        let watched = Watched {
            file: pin.file,
            handle,
            probed: false,
        };
        self.watched.insert(pin.inode, watched);
        Ok(())
    }

    async fn events(&self) -> io::Result<Vec<Event>> {
        loop {
            let mut guard = self.group.readable().await?;
            if let Ok(events) = guard.try_io(|group| group.get_ref().read()) {
                return events;
            }
        }
    }

    fn closed(&mut self, handle: &FileHandle, pid: i32) {
        let Some(&inode) = self.numbers.get(handle) else {
            return;
        };
        let Some(watched) = self.watched.get_mut(&inode) else {
            return;
        };
        let release = Release {
            inode,
            at: monotonic(),
            by: None,
        };
        if pid != self.own {
            self.releases += 1;
            self.looks.now_and_again(release, Instant::now());
        } else if !std::mem::take(&mut watched.probed) {
            // No look of ours ended here, yet we were the last to let go: to read
            // /proc/PID/fdinfo takes the file for a moment, and its owner may have closed it then.
            self.releases += 1;
            self.looks.once(release, Instant::now());
        }
    }

    /// What is to be told now.
    fn take_news(&mut self, events: &[Event]) -> News {
        let overflows = events.iter().filter(|event| event.is_overflow()).count();
        self.losses += overflows as u64;
        for event in events {
            if let Some(handle) = &event.handle {
                self.closed(handle, event.pid);
            }
        }
        let releases = self.looks.take(Instant::now());
        for release in &releases {
            if let Some(watched) = self.watched.get_mut(&release.inode) {
                watched.probed = true;
            }
        }
        News {
            releases,
            lost: overflows > 0,
            ..News::default()
        }
    }
}

impl Tracker for FanotifyTracker {
    /// An inode that nobody has open is told of no more: ask the lease after this.
    fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError> {
        for pin in pins {
            if self.watched.contains_key(&pin.inode) {
                continue;
            }
            self.enter(pin).map_err(|source| TrackError {
                action: "watch one more inode with fanotify",
                source,
            })?;
        }
        Ok(())
    }

    fn unwatch(&mut self, inode: u64) {
        let Some(watched) = self.watched.remove(&inode) else {
            return;
        };
        self.numbers.remove(&watched.handle);
        self.looks.forget(inode);
        if let Err(error) = self.group.get_ref().unmark(watched.file.as_fd()) {
            tracing::warn!(inode, %error, "fanotify's mark stays until the agent ends");
        }
    }

    fn holders(&self, _inode: u64) -> Option<u64> {
        None
    }

    async fn news(&mut self) -> News {
        loop {
            let next = self.looks.next();
            let events = tokio::select! {
                events = self.events() => events,
                () = sleep_until(next) => Ok(Vec::new()),
            };
            let events = match events {
                Ok(events) => events,
                Err(error) => {
                    tracing::error!(%error, "fanotify's events cannot be read; restart the agent");
                    return future::pending().await;
                }
            };
            let news = self.take_news(&events);
            if news != News::default() {
                return news;
            }
        }
    }

    fn health(&self) -> Health {
        Health {
            tracker: "fanotify",
            hooks: "fanotify",
            attached: !self.watched.is_empty(),
            watched: self.watched.len(),
            releases: self.releases,
            losses: BTreeMap::from([("queue-full", self.losses)]),
            missing: Some(format!(
                "inexact: O_PATH descriptors are not seen and nothing is counted; no BPF: {}",
                self.reason
            )),
            ..Health::default()
        }
    }
}

/// Whether a tracker would work on the volume mounted at `volume`.
///
/// # Errors
///
/// Says why the kernel or the filesystem does not allow it.
pub fn try_out(volume: &Path) -> Result<(), Unavailable> {
    group_for(volume).map(drop)
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => future::pending().await,
    }
}

fn group_for(volume: &Path) -> Result<Group, Unavailable> {
    let group = match Group::new(Limits::None) {
        Err(Errno::EPERM) => Group::new(Limits::System),
        result => result,
    };
    let group = group.map_err(Unavailable::Refused)?;
    try_mark(&group, volume).map_err(|why| Unavailable::Volume {
        volume: volume.to_owned(),
        why,
    })?;
    Ok(group)
}

/// Marks the volume's top, whose closes are not told since it is a directory.
fn try_mark(group: &Group, volume: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let top = openat(CWD, volume, flags, Mode::empty())?;
    FileHandle::of(top.as_fd())?;
    group.mark(top.as_fd())?;
    Ok(group.unmark(top.as_fd())?)
}
