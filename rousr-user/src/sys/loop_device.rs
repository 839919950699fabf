//! What a loop device is set up on.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// From linux/loop.h.
const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;

/// `struct loop_info64` up to its flags, and room for the rest.
#[repr(C)]
struct Status {
    device: u64,
    inode: u64,
    _places: [u64; 3],
    _numbers: [u32; 3],
    flags: u32,
    _names: [u64; 22],
}

/// `LO_FLAGS_READ_ONLY`.
const READ_ONLY: u32 = 1;

/// The file behind a loop device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backing {
    /// Its filesystem's number, as in `st_dev`.
    pub device: u64,
    /// Its inode's number.
    pub inode: u64,
    /// Whether the device writes to it.
    pub writable: bool,
}

/// Asks an open loop device.
///
/// # Errors
///
/// ENXIO: nothing is behind it.
pub fn backing(device: impl AsFd) -> io::Result<Backing> {
    let mut status = Status {
        device: 0,
        inode: 0,
        _places: [0; 3],
        _numbers: [0; 3],
        flags: 0,
        _names: [0; 22],
    };
    // SAFETY: the kernel writes one `struct loop_info64`, and the structure is as large.
    let result = unsafe {
        libc::ioctl(
            device.as_fd().as_raw_fd(),
            LOOP_GET_STATUS64,
            &raw mut status,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Backing {
        device: status.device,
        inode: status.inode,
        writable: status.flags & READ_ONLY == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<Status>(), 232);
        assert_eq!(std::mem::offset_of!(Status, flags), 52);
    }

    #[test]
    fn what_is_no_loop_device_is_an_error() {
        let file = tempfile::tempfile().expect("a file");
        let error = backing(&file).expect_err("a file");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
