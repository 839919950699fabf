//! System calls without a safe wrapper.
#![expect(
    unsafe_code,
    reason = "mappings, loop devices, swap, leases and tables of descriptors have no safe interface"
)]

use std::{
    convert::Infallible,
    ffi::{CString, c_int, c_uint},
    fs::File,
    io,
    marker::PhantomData,
    os::{
        fd::{AsRawFd as _, BorrowedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr,
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// One page of a file, mapped.
pub(crate) struct Mapping {
    address: usize,
}

impl Mapping {
    pub(crate) const LENGTH: usize = 4096;

    /// Maps the first page of `file` read-only. Nobody reads it.
    pub(crate) fn new(file: &File, flags: MapFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
        let address = unsafe {
            mmap(
                ptr::null_mut(),
                Self::LENGTH,
                ProtFlags::READ,
                flags,
                file,
                0,
            )
        }?;
        Ok(Self {
            address: address.addr(),
        })
    }

    pub(crate) fn address(&self) -> usize {
        self.address
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let address = ptr::without_provenance_mut(self.address);
        // SAFETY: the page was mapped by `new`, and no pointer into it has been handed out.
        let unmapped = unsafe { munmap(address, Self::LENGTH) };
        assert!(unmapped.is_ok(), "munmap {:#x}: {unmapped:?}", self.address);
    }
}

/// Maps the whole of `file` privately, closes it and writes to each page over and over, so that the
/// memory is this process's own and has to be swapped out where there is too little. Never returns.
pub(crate) fn dirty_private_copy(file: File) -> io::Result<Infallible> {
    let length = usize::try_from(file.metadata()?.len()).expect("fits into memory");
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
    let begin = unsafe {
        mmap(
            ptr::null_mut(),
            length,
            protection,
            MapFlags::PRIVATE,
            &file,
            0,
        )
    }?;
    drop(file);
    loop {
        for at in (0..length).step_by(Mapping::LENGTH) {
            // SAFETY: `at` lies within the mapping.
            let page: *mut u8 = unsafe { begin.byte_add(at) }.cast();
            // SAFETY: the mapping is writable and stays for good; nobody else knows of it.
            unsafe { page.write_volatile(1) };
        }
    }
}

/// An ioctl of `fd` whose argument is a number.
pub(crate) fn number_ioctl(
    fd: BorrowedFd<'_>,
    request: LoopRequest,
    argument: c_int,
) -> io::Result<c_int> {
    // SAFETY: a `LoopRequest` takes a number, or nothing; no memory is shared with the kernel.
    result(unsafe { libc::ioctl(fd.as_raw_fd(), request as libc::Ioctl, argument) })
}

/// From linux/loop.h: those that take a number or nothing.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum LoopRequest {
    /// Of a device: a backing file.
    SetFd = 0x4c00,
    /// Of a device: let go of the backing file.
    ClearFd = 0x4c01,
    /// Of /dev/loop-control: the number of a device nobody uses.
    GetFree = 0x4c82,
}

pub(crate) fn swapon(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string that lives until the call returns.
    result(unsafe { libc::swapon(path.as_ptr(), 0) }).map(drop)
}

pub(crate) fn swapoff(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string that lives until the call returns.
    result(unsafe { libc::swapoff(path.as_ptr()) }).map(drop)
}

/// The calling thread's own table of descriptors; they are closed when it is dropped. The end of the
/// thread would do that too, but a join does not wait for it.
pub(crate) struct OwnTable {
    _of_this_thread: PhantomData<*const ()>,
}

impl OwnTable {
    /// Leaves the process's table for one with nothing but `kept` in it.
    ///
    /// Whatever else the thread owned is closed for it, not for the process: it should own nothing.
    pub(crate) fn with_only(kept: RawFd) -> io::Result<Self> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES)?;
        let table = Self {
            _of_this_thread: PhantomData,
        };
        let kept = c_uint::try_from(kept).expect("an open descriptor");
        if kept > 0 {
            close_range(0, kept - 1)?;
        }
        close_range(kept + 1, c_uint::MAX)?;
        Ok(table)
    }
}

impl Drop for OwnTable {
    fn drop(&mut self) {
        let closed = close_range(0, c_uint::MAX);
        assert!(closed.is_ok(), "close_range: {closed:?}");
    }
}

/// Closes descriptors of the calling thread's own table.
fn close_range(first: c_uint, last: c_uint) -> io::Result<()> {
    // SAFETY: only called by a thread with its own table, which uses none of these descriptors.
    result(unsafe { libc::close_range(first, last, 0) }).map(drop)
}

/// Takes a write lease on an O_RDONLY file and gives it back: `None` where somebody else has the
/// inode open.
pub(crate) fn lease(file: BorrowedFd<'_>) -> io::Result<Option<()>> {
    match set_lease(file, libc::F_WRLCK) {
        Ok(()) => set_lease(file, libc::F_UNLCK).map(Some),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

fn set_lease(file: BorrowedFd<'_>, lease: c_int) -> io::Result<()> {
    // SAFETY: F_SETLEASE takes a number; no memory is shared with the kernel.
    result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, lease) }).map(drop)
}

/// Ignores SIGIO, which the kernel sends to the owner of a lease when somebody opens the inode.
pub(crate) fn ignore_sigio() {
    // SAFETY: SIG_IGN is a valid disposition, and nothing here handles SIGIO.
    let previous = unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    assert_ne!(previous, libc::SIG_ERR, "SIGIO can be ignored");
}

fn result(result: c_int) -> io::Result<c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}
