//! What keeps the filesystem from going read-only, and what to do about it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::remedy::Remedy;
use crate::track::{
    kernel_side::{KernelUse, KernelUser},
    process::{Holder, Process},
    survey::Survey,
    usage::Usage,
};

/// An inode whose use keeps the superblock from going read-only: `sb_prepare_remount_readonly`,
/// fs/namespace.c, and `s_remove_count`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// Why it blocks.
    pub kind: BlockerKind,
    /// Inode number.
    pub inode: u64,
    /// A path it has or had, as the kernel shows it; absent where it shows none. What is not UTF-8
    /// is replaced.
    pub path: Option<String>,
    /// Who uses it.
    pub holders: Vec<Holder>,
    /// What of the kernel's uses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel: Vec<KernelUser>,
    /// What ends all of these uses, each once.
    pub remedies: Vec<Remedy>,
}

/// Why something blocks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockerKind {
    /// A file without a name that is in use.
    OrphanFile,
    /// A removed directory that is open, or some process's root or working directory.
    OrphanDirectory,
    /// A file open for writing.
    Writer,
}

impl BlockerKind {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrphanFile => "removed file",
            Self::OrphanDirectory => "removed directory",
            Self::Writer => "file open for writing",
        }
    }

    /// Whether it is an inode without a name.
    pub fn is_orphan(self) -> bool {
        self != Self::Writer
    }

    fn new(removed: bool, directory: bool, writable: bool) -> Option<Self> {
        match (removed, directory, writable) {
            (true, false, _) => Some(Self::OrphanFile),
            (_, false, true) => Some(Self::Writer),
            (true, true, _) => Some(Self::OrphanDirectory),
            _ => None,
        }
    }

    fn of(usage: &Usage) -> Option<Self> {
        Self::new(usage.links == 0, usage.directory, usage.writable)
    }
}

/// Who uses something, and what ends all of these uses, each once.
pub fn tell(uses: &[(&Process, Vec<&Usage>)]) -> (Vec<Holder>, Vec<Remedy>) {
    let holders = uses
        .iter()
        .map(|(process, usages)| Holder::new(process, usages.iter().copied()));
    let remedies: BTreeSet<Remedy> = uses
        .iter()
        .map(|(process, usages)| Remedy::of(process, usages))
        .collect();
    (holders.collect(), remedies.into_iter().collect())
}

/// The blockers among what processes and the kernel use, files before directories before writers.
pub fn among(survey: &Survey, kernel: &[KernelUse]) -> Vec<Blocker> {
    let mut blockers = of_processes(survey);
    for used in kernel {
        let Some(kind) = BlockerKind::new(used.removed, used.directory, used.writable) else {
            continue;
        };
        let blocker = blockers
            .entry((kind, used.inode))
            .or_insert_with(|| Blocker {
                kind,
                inode: used.inode,
                path: Some(used.path.to_string_lossy().into_owned()),
                holders: Vec::new(),
                kernel: Vec::new(),
                remedies: Vec::new(),
            });
        blocker.kernel.push(used.by.clone());
        blocker.remedies.push(Remedy::of_kernel(&used.by));
    }
    blockers.into_values().collect()
}

fn of_processes(survey: &Survey) -> BTreeMap<(BlockerKind, u64), Blocker> {
    let groups = survey.group(|usage| Some((BlockerKind::of(usage)?, usage.inode)));
    let inodes: HashSet<u64> = groups.keys().map(|(_, inode)| *inode).collect();
    let paths = survey.paths(&inodes);
    let blocker = |((kind, inode), uses): ((BlockerKind, u64), Vec<_>)| {
        let (holders, remedies) = tell(&uses);
        let path = paths.get(&inode);
        let blocker = Blocker {
            kind,
            inode,
            path: path.map(|path| path.to_string_lossy().into_owned()),
            holders,
            kernel: Vec::new(),
            remedies,
        };
        ((kind, inode), blocker)
    };
    groups.into_iter().map(blocker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{survey::User, usage::How};

    fn user(pid: u32, usages: &[(u64, u64, bool, bool)]) -> User {
        User {
            process: Process {
                pid,
                comm: "x".to_owned(),
                started: 1,
                unit: None,
                container: None,
            },
            usages: (usages.iter())
                .map(|&(inode, links, directory, writable)| Usage {
                    pid,
                    inode,
                    device: 1,
                    links,
                    directory,
                    writable,
                    times: 1,
                    how: How::Mapping,
                })
                .collect(),
        }
    }

    fn survey(users: Vec<User>) -> Survey {
        Survey {
            users,
            ..Survey::default()
        }
    }

    #[test]
    fn orphans_and_writers_block() {
        for (links, directory, writable, expected) in [
            (0, false, false, Some(BlockerKind::OrphanFile)),
            (0, false, true, Some(BlockerKind::OrphanFile)),
            (0, true, false, Some(BlockerKind::OrphanDirectory)),
            (1, false, true, Some(BlockerKind::Writer)),
            (1, false, false, None),
            (2, true, false, None),
        ] {
            let used = survey(vec![user(7, &[(1, links, directory, writable)])]);
            let found = among(&used, &[]);
            let kinds: Vec<_> = found.iter().map(|blocker| blocker.kind).collect();
            assert_eq!(
                kinds,
                Vec::from_iter(expected),
                "{links} {directory} {writable}"
            );
        }
    }

    #[test]
    fn an_inode_stands_once_with_all_who_use_it() {
        let orphan = (9, 0, false, false);
        let users = vec![user(7, &[orphan, orphan]), user(8, &[orphan])];
        let device = KernelUser::LoopDevice("/dev/loop0".into());
        let kernel = KernelUse {
            inode: 9,
            path: "/usr/x (deleted)".into(),
            removed: true,
            directory: false,
            writable: true,
            by: device.clone(),
        };
        let found = among(&survey(users), &[kernel]);
        let [blocker] = &found[..] else {
            panic!("{found:?}");
        };
        let pids: Vec<u32> = blocker
            .holders
            .iter()
            .map(|holder| holder.who.pid)
            .collect();
        assert_eq!((blocker.inode, &pids[..]), (9, &[7, 8][..]));
        assert_eq!(blocker.kernel, [device]);
        let remedies = blocker.remedies.iter().map(ToString::to_string);
        assert_eq!(
            Vec::from_iter(remedies),
            ["kill 7", "kill 8", "losetup -d /dev/loop0"],
            "two processes of no unit"
        );
    }
}
