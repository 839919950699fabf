//! Who let go of a file last, as people know it.

use std::collections::BTreeSet;

use crate::track::{
    Closer, control_group,
    process::{Membership, Process, Who},
};

/// By /proc while the process is there, else by its control group while that is. `None` where the kernel
/// itself let go, after whoever used it.
pub(super) fn last_holder(closer: Closer) -> Option<Who> {
    let Closer {
        pid,
        comm,
        control_group,
    } = closer;
    let comm = comm.split(|&byte| byte == 0).next().unwrap_or_default();
    let comm = String::from_utf8_lossy(comm).into_owned();
    // `delayed_fput`, fs/file_table.c.
    if comm.starts_with("kworker/") {
        return None;
    }
    let process = Process::read(pid).unwrap_or_else(|_| {
        let paths = control_group::paths(BTreeSet::from([control_group]));
        let membership = paths
            .get(&control_group)
            .map(|path| Membership::of_path(path));
        let Membership { unit, container } = membership.unwrap_or_default();
        Process {
            pid,
            comm: String::new(),
            started: 0,
            unit,
            container,
        }
    });
    // A thread has a name of its own, and the process's may have become another's.
    Some(Who {
        comm,
        ..Who::from(&process)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closer(pid: u32, comm: &[u8]) -> Closer {
        let mut name = [0; 16];
        name[..comm.len()].copy_from_slice(comm);
        Closer {
            pid,
            comm: name,
            control_group: u64::MAX,
        }
    }

    #[test]
    fn a_process_is_told_after_its_end_as_well() {
        let own = last_holder(closer(std::process::id(), b"x")).expect("a process");
        assert_eq!((own.pid, own.comm.as_str()), (std::process::id(), "x"));
        let gone = last_holder(closer(u32::MAX, b"fifteen letters")).expect("a process");
        assert_eq!(gone.comm, "fifteen letters");
        assert_eq!(gone.unit, None);
    }

    #[test]
    fn the_kernel_is_nobody() {
        assert_eq!(last_holder(closer(7, b"kworker/0:1")), None);
    }
}
