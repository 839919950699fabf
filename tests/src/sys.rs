//! System calls without a safe wrapper. Nothing of rousr's own: what it is tested with must not share
//! its errors.
#![expect(
    unsafe_code,
    reason = "mappings, forks, loop devices, swap, leases and tables of descriptors have no safe interface"
)]

use std::{
    ffi::{CString, c_int, c_uint},
    io,
    marker::PhantomData,
    ops::Range,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr,
};

use rustix::{
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap},
    process::Pid,
};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// The beginning of a file, mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: usize,
    length: usize,
}

impl Mapping {
    /// Maps the first page of a file read-only. Nobody reads it.
    pub(crate) fn page(file: impl AsFd, flags: MapFlags) -> io::Result<Self> {
        Self::new(file, PAGE, ProtFlags::READ, flags)
    }

    fn new(
        file: impl AsFd,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
        let begin = unsafe { mmap(ptr::null_mut(), length, protection, flags, file, 0) }?;
        Ok(Self {
            address: begin.expose_provenance(),
            length,
        })
    }

    pub(crate) fn addresses(&self) -> Range<usize> {
        self.address..self.address + self.length
    }

    fn begin<T>(&self) -> *mut T {
        ptr::with_exposed_provenance_mut(self.address)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the memory was mapped by `new`, and no reference into it has been handed out.
        let unmapped = unsafe { munmap(self.begin(), self.length) };
        assert!(unmapped.is_ok(), "{self:x?}: {unmapped:?}");
    }
}

/// The beginning of a file, mapped privately and writable: what is written to is this process's own,
/// and has to be swapped out where there is too little memory.
#[derive(Debug)]
pub(crate) struct PrivateCopy(Mapping);

impl PrivateCopy {
    /// Maps without touching.
    pub(crate) fn new(file: impl AsFd, length: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        Mapping::new(file, length, protection, MapFlags::PRIVATE).map(Self)
    }

    /// Maps the first page and makes it the process's own.
    pub(crate) fn dirty_page(file: impl AsFd) -> io::Result<Self> {
        let copy = Self::new(file, PAGE)?;
        copy.write();
        Ok(copy)
    }

    /// Writes to each page.
    pub(crate) fn write(&self) {
        for at in (0..self.0.length).step_by(PAGE) {
            // SAFETY: `at` lies within the mapping.
            let byte: *mut u8 = unsafe { self.0.begin::<u8>().add(at) };
            // SAFETY: the mapping is writable and private, and nobody refers to its bytes.
            unsafe { byte.write_volatile(1) };
        }
    }

    /// Asks the kernel to write it out to swap.
    pub(crate) fn page_out(&self) -> io::Result<()> {
        // SAFETY: the memory is ours, and its content survives.
        Ok(unsafe { madvise(self.0.begin(), self.0.length, Advice::LinuxPageOut) }?)
    }
}

impl From<PrivateCopy> for Mapping {
    fn from(PrivateCopy(mapping): PrivateCopy) -> Self {
        mapping
    }
}

/// Duplicates this process, which has one thread; `None` in the child.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the callers' processes have one thread, so no lock is left taken in the child.
    Ok(Pid::from_raw(result(unsafe { libc::fork() })?))
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
