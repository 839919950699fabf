//! What keeps the filesystem from going read-only, and what to do about it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::remedy::Remedy;
use crate::track::{
    process::Holder,
    survey::{Survey, User},
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

    fn of(usage: &Usage) -> Option<Self> {
        match (usage.links, usage.directory, usage.writable) {
            (0, false, _) => Some(Self::OrphanFile),
            (_, false, true) => Some(Self::Writer),
            (0, true, _) => Some(Self::OrphanDirectory),
            _ => None,
        }
    }
}

/// Who uses something, and what ends that.
#[derive(Debug, Default)]
pub struct Uses {
    /// Who.
    pub holders: Vec<Holder>,
    /// What ends all of these uses.
    pub remedies: BTreeSet<Remedy>,
}

/// The uses that have a key, by it.
pub fn uses<K: Ord>(survey: &Survey, key: impl Fn(&Usage) -> Option<K>) -> BTreeMap<K, Uses> {
    let mut found: BTreeMap<K, Uses> = BTreeMap::new();
    for User { process, usages } in &survey.users {
        let mut by_key: BTreeMap<K, Vec<&Usage>> = BTreeMap::new();
        for usage in usages {
            if let Some(key) = key(usage) {
                by_key.entry(key).or_default().push(usage);
            }
        }
        for (key, usages) in by_key {
            let Uses { holders, remedies } = found.entry(key).or_default();
            remedies.insert(Remedy::of(process, &usages));
            holders.push(Holder::new(process, usages));
        }
    }
    found
}

/// The blockers among what is used, files before directories before writers.
pub fn among(survey: &Survey) -> Vec<Blocker> {
    let found = uses(survey, |usage| Some((BlockerKind::of(usage)?, usage.inode)));
    let inodes: HashSet<u64> = found.keys().map(|(_, inode)| *inode).collect();
    let paths = survey.paths(&inodes);
    let path = |inode| Some(paths.get(&inode)?.to_string_lossy().into_owned());
    let found = found.into_iter();
    found
        .map(|((kind, inode), Uses { holders, remedies })| Blocker {
            kind,
            inode,
            path: path(inode),
            holders,
            remedies: remedies.into_iter().collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{process::Process, usage::How};

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
            let found = among(&survey(vec![user(7, &[(1, links, directory, writable)])]));
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
        let found = among(&survey(vec![
            user(7, &[orphan, orphan]),
            user(8, &[orphan]),
        ]));
        let [blocker] = &found[..] else {
            panic!("{found:?}");
        };
        let pids: Vec<u32> = blocker.holders.iter().map(|holder| holder.pid).collect();
        assert_eq!((blocker.inode, &pids[..]), (9, &[7, 8][..]));
        assert_eq!(blocker.remedies.len(), 2, "two processes of no unit");
    }
}
