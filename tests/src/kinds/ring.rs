//! io_uring.

use std::{fs::File, io, os::fd::AsRawFd as _, path::Path};

use io_uring::IoUring;

/// A ring with one fixed file.
pub(super) struct Ring(IoUring);

pub(super) fn fixed(path: &Path) -> io::Result<Ring> {
    let file = File::open(path)?;
    let ring = IoUring::new(1)?;
    ring.submitter().register_files(&[file.as_raw_fd()])?;
    Ok(Ring(ring))
}

impl Drop for Ring {
    fn drop(&mut self) {
        // A closed ring lets go of its files in a kernel thread, this at once.
        let unregistered = self.0.submitter().unregister_files();
        assert!(unregistered.is_ok(), "fixed files: {unregistered:?}");
    }
}
