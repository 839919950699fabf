//! The active security modules, without securityfs.

use std::io;

/// lsm_list_modules(2), since Linux 6.8; libc does not name it. The number is the same on all
/// architectures that took their system calls from the common table.
const LSM_LIST_MODULES: libc::c_long = 461;

/// More than the kernel has room for (`MAX_LSM_COUNT`).
const MOST: usize = 64;

/// The numbers (`LSM_ID_*`) of the active security modules, in the order in which they are asked.
///
/// # Errors
///
/// ENOSYS: the kernel is older.
pub fn active() -> io::Result<Vec<u64>> {
    let mut ids = [0u64; MOST];
    let mut bytes = size_of_val(&ids) as u32;
    // SAFETY: `ids` has the room that `bytes` says, and the kernel keeps neither pointer.
    let count = unsafe {
        libc::syscall(
            LSM_LIST_MODULES,
            ids.as_mut_ptr(),
            &raw mut bytes,
            0 as libc::c_uint,
        )
    };
    match usize::try_from(count) {
        Ok(count) => Ok(ids.into_iter().take(count).collect()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_a_number() {
        match active() {
            // Numbers below 100 are reserved.
            Ok(ids) => assert!(ids.iter().all(|&id| id >= 100), "{ids:?}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOSYS)),
        }
    }
}
