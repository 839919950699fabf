//! Forks and mappings of the torture's own.
#![expect(unsafe_code, reason = "fork and mappings have no safe interface")]

use std::{ffi::c_void, io, os::fd::AsFd, ptr};

use rustix::{
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap},
    process::Pid,
};

/// What is mapped of a file.
pub(super) const PAGE: usize = 4096;

/// Duplicates this process, which has one thread; `None` in the child.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the callers' processes have one thread, so no lock is left taken in the child.
    let pid = unsafe { libc::fork() };
    match pid {
        ..0 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// The first page of a file, mapped.
#[derive(Debug)]
pub(super) struct Mapping(*mut c_void);

impl Mapping {
    /// Maps without touching.
    pub(super) fn shared(file: impl AsFd) -> io::Result<Self> {
        Self::new(file, ProtFlags::READ, MapFlags::SHARED)
    }

    /// Maps, and makes the page the process's own.
    pub(super) fn private(file: impl AsFd) -> io::Result<Self> {
        let mapping = Self::new(file, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        // SAFETY: the page is mapped writable, private, and nobody else's.
        unsafe { ptr::write_volatile(mapping.0.cast::<u8>(), 1) };
        Ok(mapping)
    }

    fn new(file: impl AsFd, protection: ProtFlags, flags: MapFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address.
        let address = unsafe { mmap(ptr::null_mut(), PAGE, protection, flags, file, 0) }?;
        Ok(Self(address))
    }

    /// Its first and one-past-last address.
    pub(super) fn range(&self) -> (usize, usize) {
        let start = self.0.addr();
        (start, start + PAGE)
    }

    /// Asks the kernel to write it out to swap.
    pub(super) fn page_out(&self) -> io::Result<()> {
        // SAFETY: the page is ours, and its content survives.
        Ok(unsafe { madvise(self.0, PAGE, Advice::LinuxPageOut) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the page.
        let unmapped = unsafe { munmap(self.0, PAGE) };
        debug_assert!(unmapped.is_ok());
    }
}
