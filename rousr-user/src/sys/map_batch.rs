//! Many elements of a BPF map, written by one call.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::{Pod, maps::IterableMap};
use zerocopy::{Immutable, IntoBytes};

/// `BPF_MAP_UPDATE_BATCH` of bpf(2), Linux 5.6.
const UPDATE_BATCH: libc::c_long = 26;

/// The member `batch` of `union bpf_attr`.
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Sets each key to its value. What a key was set to before is replaced.
///
/// # Errors
///
/// Those of bpf(2): some of the elements may be written then. E2BIG: the map is full. Ends with EINVAL where
/// there is not one value for each key.
///
/// # Panics
///
/// Panics where they are more than a map can hold, which is 2^32 elements.
pub fn update<K, V>(map: &impl IterableMap<K, V>, keys: &[K], values: &[V]) -> io::Result<()>
where
    K: Pod + IntoBytes + Immutable,
    V: Pod + IntoBytes + Immutable,
{
    if keys.len() != values.len() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut batch = Batch {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_bytes().as_ptr() as u64,
        values: values.as_bytes().as_ptr() as u64,
        count: u32::try_from(keys.len()).expect("fewer than a map can hold"),
        map: map.map().fd().as_fd().as_raw_fd().cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `batch`, of the size that it is told, and from the slices as many elements as
    // these have, each as long as the map's own: aya compares the sizes of `K` and `V` with the map's before it
    // makes a typed one. It writes the number of elements that it took to `batch.count`. All outlive the call.
    let ended = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            UPDATE_BATCH,
            &raw mut batch,
            size_of::<Batch>(),
        )
    };
    match ended {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
