//! Who let go of a file last, as people know it.

use std::collections::BTreeSet;

use crate::track::{
    Closer,
    control_group::{self, Paths},
    membership::Membership,
    process::{Process, Who},
};

/// Each by its control group while that is there. `None` where the kernel itself let go, after whoever used it.
pub(super) fn last_holders(closers: &[Option<Closer>]) -> Vec<Option<Who>> {
    let groups: BTreeSet<u64> = (closers.iter().flatten())
        .map(|closer| closer.control_group)
        .collect();
    let paths = match groups.is_empty() {
        true => Paths::new(),
        false => control_group::paths(groups),
    };
    let who = |closer: &Option<Closer>| last_holder(closer.as_ref()?, &paths);
    closers.iter().map(who).collect()
}

fn last_holder(closer: &Closer, paths: &Paths) -> Option<Who> {
    let comm = closer.comm.split(|&byte| byte == 0).next()?;
    // `delayed_fput`, fs/file_table.c.
    if comm.starts_with(b"kworker/") {
        return None;
    }
    let path = paths.get(&closer.control_group);
    let Membership { unit, container } = path
        .map(|path| Membership::of_path(path))
        .unwrap_or_default();
    let process = Process {
        pid: closer.pid,
        comm: String::from_utf8_lossy(comm).into_owned(),
        started: 0,
        unit,
        container,
    };
    Some(Who::from(&process))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closer(comm: &[u8]) -> Closer {
        let mut name = [0; 16];
        name[..comm.len()].copy_from_slice(comm);
        Closer {
            pid: 7,
            comm: name,
            control_group: 9,
        }
    }

    #[test]
    fn it_is_told_by_name_and_group() {
        let paths = Paths::from([(9, b"/system.slice/ssh.service".to_vec())]);
        let who = last_holder(&closer(b"sshd"), &paths).expect("a process");
        assert_eq!((who.pid, who.comm.as_str()), (7, "sshd"));
        assert_eq!(who.unit.as_deref(), Some("ssh.service"));
        let gone = last_holder(&closer(b"fifteen letters"), &Paths::new()).expect("a process");
        assert_eq!((gone.comm.as_str(), gone.unit), ("fifteen letters", None));
    }

    #[test]
    fn the_kernel_and_nobody_are_none() {
        assert_eq!(last_holder(&closer(b"kworker/0:1"), &Paths::new()), None);
        assert_eq!(last_holders(&[None, None]), [None, None]);
    }
}
