//! Every kind of holder that rousr has to know: each keeps an inode in use in a way of its own.
//!
//! What a kind holds is known exactly, so that a test can compare it with what rousr counts.

mod apart;
mod child;
mod device;
mod file;
mod kind;
mod memory;
mod mount;
mod needs;
mod pin;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process,
};

pub use child::wait_for_exec;
pub use kind::Kind;
pub use needs::Needs;
pub use pin::{Pin, Pinned};
use socket::Collected;

/// Open files (`struct file`) of one inode.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Those that read or write, which the kernel's `i_readcount` and `i_writecount` count.
    pub files: u32,
    /// Those that only refer to the inode: opened with O_PATH, or for ioctls only.
    pub paths: u32,
}

/// Somebody who keeps an inode in use until dropped.
///
/// Drop returns once the kernel has let go. One thing can go on a moment longer: where another
/// thread starts a program by other means than this module, its child has all descriptors of this
/// process between fork and exec.
pub struct Holder {
    kind: Kind,
    counts: Counts,
    collected: Option<Collected>,
    /// Lets go when dropped.
    keeps: Option<Box<dyn Send>>,
}

impl Kind {
    /// Begins to hold the file at `path`, a name of it or /proc/self/fd/N.
    ///
    /// Needs root. [`Kind::Swap`] needs the file's own name, and the name has to stay until the end.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses or a program cannot be started; then nothing is held.
    pub fn hold(self, path: &Path) -> io::Result<Holder> {
        let path = &visible_to_children(path);
        let mut collected = None;
        let keeps: Box<dyn Send> = match self {
            Self::Descriptor => Box::new(fs::File::open(path)?),
            Self::CloseOnExec => Box::new(child::close_on_exec(path)?),
            Self::Dup => Box::new(file::dup(path)?),
            Self::Fork => Box::new(child::fork(path)?),
            Self::ThreadTable => Box::new(child::thread_table(path)?),
            Self::Path => Box::new(file::o_path(path)?),
            Self::Reopened => Box::new(file::reopened(path)?),
            Self::PidfdGetfd => Box::new(child::pidfd_getfd(path)?),
            Self::MappingPrivate => Box::new(memory::private(path)?),
            Self::MappingShared => Box::new(memory::shared(path)?),
            Self::MapFiles => Box::new(memory::map_files(path)?),
            Self::Executable => Box::new(child::executable(path)?),
            Self::Interpreter => Box::new(child::interpreter(path)?),
            Self::Script => Box::new(child::script(path)?),
            Self::InFlight => Box::new(socket::in_flight(path)?),
            Self::InFlightNested => Box::new(socket::nested(path)?),
            Self::DeadSocket => {
                let (garbage, watch) = socket::dead(path)?;
                collected = Some(watch);
                Box::new(garbage)
            }
            Self::IoUringFixed => Box::new(ring::fixed(path)?),
            Self::Loop => Box::new(device::loop_over(path)?),
            Self::Swap => Box::new(device::swap(path)?),
            Self::OverlayLower => Box::new(mount::overlay(path)?),
            Self::OtherHardLink => Box::new(file::other_link(path)?),
            Self::OtherNamespace => Box::new(mount::other_namespace(path)?),
            Self::Container => Box::new(child::container(path)?),
            Self::AccessModeThree => Box::new(file::access_mode_three(path)?),
            Self::Writer => Box::new(fs::OpenOptions::new().append(true).open(path)?),
            Self::TmpFile => Box::new(file::tmpfile(path)?),
        };
        Ok(Holder {
            kind: self,
            counts: self.counts(),
            collected,
            keeps: Some(keeps),
        })
    }
}

impl Holder {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it keeps alive now.
    ///
    /// Only a [`Kind::DeadSocket`] can lose it by itself: the kernel collects such sockets when any
    /// process closes a socket.
    pub fn counts(&self) -> Counts {
        match &self.collected {
            Some(collected) if collected.yet() => Counts::default(),
            _ => self.counts,
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.keeps.take());
        wait_for_exec();
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("kind", &self.kind)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// The path by which a child process finds what this process finds at `path`.
fn visible_to_children(path: &Path) -> PathBuf {
    match path.strip_prefix("/proc/self") {
        Ok(rest) => PathBuf::from(format!("/proc/{}", process::id())).join(rest),
        Err(_) => path.to_owned(),
    }
}
