//! What the kernel itself says about who has an inode in use.

use std::{fs::File, io, os::fd::AsFd as _, path::Path, sync::Once};

use crate::{kinds::wait_for_exec, sys};

/// Whether the kernel finds nobody who has the file at `path` open, mapped or running.
///
/// Asked by a write lease, which does not see O_PATH descriptors nor files opened with access mode 3.
/// Whoever opens the file during the question waits for a moment, or gets EAGAIN.
///
/// # Errors
///
/// Fails where the file cannot be opened, and with EINVAL where it is no regular file.
pub fn nobody_uses(path: &Path) -> io::Result<bool> {
    static IGNORED: Once = Once::new();
    IGNORED.call_once(sys::ignore_sigio);
    let file = File::open(path)?;
    let granted = sys::lease(file.as_fd())?.is_some();
    // Else the next question could find this one.
    drop(file);
    wait_for_exec();
    Ok(granted)
}
