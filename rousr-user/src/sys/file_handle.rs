//! File handles: an inode's name on its filesystem, which outlives descriptors and paths.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The longest handle, in bytes: `MAX_HANDLE_SZ` of name_to_handle_at(2).
const MAX_LENGTH: usize = 128;

/// A handle for telling inodes apart, and for nothing else (Linux 6.5); the same value as
/// `AT_REMOVEDIR`. Filesystems without NFS export, as overlayfs is by default, give no other.
const AT_HANDLE_FID: libc::c_int = 0x200;

/// A file handle, as name_to_handle_at(2) and fanotify(7) give it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FileHandle {
    /// What the filesystem says that the bytes are.
    pub kind: i32,
    /// Opaque.
    pub bytes: Vec<u8>,
}

/// `struct file_handle`, with the room that its flexible last member may take.
#[repr(C)]
struct Raw {
    handle_bytes: u32,
    handle_type: i32,
    handle: [u8; MAX_LENGTH],
}

impl FileHandle {
    /// The handle of an open file's inode; `O_PATH` is enough.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP: the filesystem has no handles.
    pub fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        match name_to_handle(file, AT_HANDLE_FID) {
            // A kernel that does not know the flag.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => name_to_handle(file, 0),
            result => result,
        }
    }
}

fn name_to_handle(file: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<FileHandle> {
    let mut raw = Raw {
        handle_bytes: MAX_LENGTH as u32,
        handle_type: 0,
        handle: [0; MAX_LENGTH],
    };
    let mut mount_id: libc::c_int = 0;
    // SAFETY: the path is a C string, `raw` has room for the `handle_bytes` that it announces, and
    // the kernel keeps none of the pointers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            file.as_raw_fd(),
            c"".as_ptr(),
            &raw mut raw,
            &raw mut mount_id,
            libc::AT_EMPTY_PATH | flags,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = usize::try_from(raw.handle_bytes).map_or(MAX_LENGTH, |n| n.min(MAX_LENGTH));
    Ok(FileHandle {
        kind: raw.handle_type,
        bytes: raw.handle[..length].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn names_of_one_inode_share_a_handle_and_inodes_do_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [one, link, other] = ["one", "link", "other"].map(|name| dir.path().join(name));
        fs::write(&one, "").expect("writes");
        fs::hard_link(&one, &link).expect("links");
        fs::write(&other, "").expect("writes");
        let handle = |path| {
            let file = File::open(path).expect("opens");
            FileHandle::of(file.as_fd()).expect("a handle")
        };
        assert_eq!(handle(&one), handle(&link));
        assert_ne!(handle(&one), handle(&other));
    }

    #[test]
    fn a_filesystem_without_handles_is_told() {
        let (pipe, _writer) = io::pipe().expect("a pipe");
        match FileHandle::of(pipe.as_fd()) {
            // Since Linux 6.6 every inode has one for telling it apart.
            Ok(handle) => assert!(!handle.bytes.is_empty()),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
        }
    }
}
