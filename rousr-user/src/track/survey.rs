//! Who uses what of one filesystem: process by process, whichever way it was found.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::makedev;
use serde::{Deserialize, Serialize};

use super::{
    bpf::Visits,
    maps,
    process::{Process, has_ended},
    procfs,
    usage::Usage,
};
use crate::sys::mountinfo::Device;

/// What a survey goes by.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// BPF iterators: all that tasks reach.
    Bpf,
    /// /proc.
    Proc,
}

/// Makes a survey of the volume; in any thread.
#[derive(Debug)]
pub struct Surveyor {
    device: u64,
    visits: Option<Visits>,
    left_out: Option<u32>,
}

impl Surveyor {
    /// By the iterators where there are some, else by /proc.
    ///
    /// # Errors
    ///
    /// Fails where the mount is gone.
    pub fn new(mount_point: &Path, visits: Option<Visits>) -> io::Result<Self> {
        let device = fs::metadata(mount_point)?.dev();
        Ok(Self {
            device,
            visits,
            left_out: None,
        })
    }

    /// By /proc where the superblock's files have another `st_dev` than it, as those of a btrfs's
    /// subvolumes: the iterators tell of all of them, and one inode number stands for several there.
    pub fn of_one_numbering(self, superblock: Device) -> Self {
        let is_one = self.device == makedev(superblock.major, superblock.minor);
        Self {
            visits: self.visits.filter(|_| is_one),
            ..self
        }
    }

    /// Leaves a process out.
    pub fn without(self, pid: u32) -> Self {
        Self {
            left_out: Some(pid),
            ..self
        }
    }

    /// What it goes by.
    pub fn source(&self) -> Source {
        match self.visits {
            Some(_) => Source::Bpf,
            None => Source::Proc,
        }
    }

    /// Looks at all processes.
    ///
    /// # Errors
    ///
    /// As [`Visits::survey`] and [`Survey::of_proc`].
    pub fn survey(self) -> io::Result<Survey> {
        let mut survey = match self.visits {
            Some(visits) => visits.survey(self.device),
            None => Survey::of_proc(self.device),
        }?;
        let is_asked = |process: &Process| Some(process.pid) != self.left_out;
        survey.users.retain(|user| is_asked(&user.process));
        survey.queues.retain(|queue| is_asked(&queue.process));
        Ok(survey)
    }
}

/// A process, and all that it uses of the filesystem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// The process.
    pub process: Process,
    /// What it uses.
    pub usages: Vec<Usage>,
}

/// A Unix socket that holds descriptors on their way to whoever receives them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Queue {
    /// The process that can receive them.
    pub process: Process,
    /// Its descriptor of the socket.
    pub descriptor: u32,
    /// How many they are, of whatever files.
    pub files: u64,
}

/// All processes that use something.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Survey {
    /// In the order of their numbers.
    pub users: Vec<User>,
    /// The sockets with descriptors in flight; /proc tells of none.
    pub queues: Vec<Queue>,
    /// How many inodes without a name the kernel counts in use (`super_block.s_remove_count`); `None`
    /// where only /proc was asked, or no process runs a program of the filesystem.
    pub nameless: Option<u64>,
    /// Number of processes of which something could not be told.
    pub incomplete: usize,
    /// For each inode one place that shows its path.
    pub links: HashMap<u64, Link>,
}

/// Where /proc shows a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Link {
    /// A magic link.
    Known(PathBuf),
    /// In a process's `maps`, by the address where the mapping begins.
    Mapping {
        /// The process.
        pid: u32,
        /// The address.
        start: u64,
    },
    /// Around that of the inode of this number, in a directory that is removed.
    Around(u64),
}

impl Link {
    /// The link `name` of a process.
    pub fn of(pid: u32, name: &str) -> Self {
        Self::Known(format!("/proc/{pid}/{name}").into())
    }
}

impl Survey {
    /// What /proc tells of the filesystem whose `st_dev` is `device`.
    ///
    /// # Errors
    ///
    /// Fails where /proc cannot be listed, or a process that still runs cannot be read.
    pub fn of_proc(device: u64) -> io::Result<Self> {
        let snapshot = procfs::snapshot(device)?;
        let mut by_process: BTreeMap<u32, Vec<Usage>> = BTreeMap::new();
        for usage in snapshot.usages {
            by_process.entry(usage.pid).or_default().push(usage);
        }
        let mut users = Vec::new();
        for (pid, usages) in by_process {
            match Process::read(pid) {
                Ok(process) => users.push(User { process, usages }),
                Err(error) if has_ended(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let links = snapshot.links.into_iter();
        Ok(Self {
            users,
            queues: Vec::new(),
            nameless: None,
            incomplete: snapshot.incomplete.len(),
            links: links
                .map(|(inode, link)| (inode, Link::Known(link)))
                .collect(),
        })
    }

    /// The uses that have a key, by it: each process with its uses, in the order of their numbers.
    pub fn group<K: Ord>(
        &self,
        key: impl Fn(&Usage) -> Option<K>,
    ) -> BTreeMap<K, Vec<(&Process, Vec<&Usage>)>> {
        let mut groups: BTreeMap<K, Vec<(&Process, Vec<&Usage>)>> = BTreeMap::new();
        for User { process, usages } in &self.users {
            let mut by_key: BTreeMap<K, Vec<&Usage>> = BTreeMap::new();
            for usage in usages {
                if let Some(key) = key(usage) {
                    by_key.entry(key).or_default().push(usage);
                }
            }
            for (key, usages) in by_key {
                groups.entry(key).or_default().push((process, usages));
            }
        }
        groups
    }

    /// A path of each of the inodes, as the kernel shows it for one that uses it: a file without a
    /// name has ` (deleted)` at its end. An inode that is not used any more has none.
    pub fn paths(&self, inodes: &HashSet<u64>) -> HashMap<u64, PathBuf> {
        let mut mapped = HashMap::new();
        let mut path = |inode: u64| match self.links.get(&inode)? {
            Link::Known(link) => fs::read_link(link).ok(),
            Link::Mapping { pid, start } => mapped
                .entry(*pid)
                .or_insert_with(|| maps::read(*pid))
                .get(&(*start, inode))
                .cloned(),
            Link::Around(_) => None,
        };
        let mut path_around = |inode: u64| {
            let (below, depth) = self.innermost(inode);
            let path = path(below)?;
            if depth == 0 {
                return Some(path);
            }
            let mut around = path.ancestors().nth(depth)?.to_owned().into_os_string();
            around.push(" (deleted)");
            Some(around.into())
        };
        inodes
            .iter()
            .filter_map(|&inode| Some((inode, path_around(inode)?)))
            .collect()
    }

    /// The inode in a removed directory whose path the kernel shows, and how deep it is in there.
    fn innermost(&self, inode: u64) -> (u64, usize) {
        let (mut inner, mut depth) = (inode, 0);
        // As many as there are links, should they ever lead round.
        while let Some(Link::Around(below)) = self.links.get(&inner)
            && depth < self.links.len()
        {
            (inner, depth) = (*below, depth + 1);
        }
        (inner, depth)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn this_process_and_the_path_of_what_it_has_open_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("file");
        let file = fs::File::create(&path).unwrap();
        let metadata = file.metadata().unwrap();
        let survey = Survey::of_proc(metadata.dev()).unwrap();

        let inodes = HashSet::from([metadata.ino(), u64::MAX]);
        let groups = survey.group(|usage| inodes.contains(&usage.inode).then_some(usage.inode));
        assert_eq!(groups.len(), 1);
        let [(process, usages)] = &groups[&metadata.ino()][..] else {
            panic!("{groups:?}");
        };
        assert_eq!(process.pid, std::process::id());
        let ways: Vec<String> = usages.iter().map(|usage| usage.how.to_string()).collect();
        assert_eq!(ways, [format!("fd {}", file.as_raw_fd())]);
        assert_eq!(
            survey.paths(&inodes),
            HashMap::from([(metadata.ino(), path)])
        );
    }

    #[test]
    fn a_removed_directory_has_the_path_of_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let path = top.join("a/b/file");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(&path).unwrap();
        fs::remove_dir_all(top.join("a")).unwrap();
        let link = Link::of(std::process::id(), &format!("fd/{}", file.as_raw_fd()));
        let survey = Survey {
            links: HashMap::from([(1, link), (2, Link::Around(1)), (3, Link::Around(2))]),
            ..Survey::default()
        };
        let deleted = |name: &str| top.join(format!("{name} (deleted)"));
        assert_eq!(
            survey.paths(&HashSet::from([1, 2, 3, 4])),
            HashMap::from([
                (1, deleted("a/b/file")),
                (2, deleted("a/b")),
                (3, deleted("a"))
            ])
        );
    }

    #[test]
    fn a_process_that_has_ended_is_left_out() {
        let file = tempfile::tempfile().unwrap();
        let mut child = std::process::Command::new("true")
            .stdin(file.try_clone().unwrap())
            .spawn()
            .unwrap();
        child.wait().unwrap();
        let survey = Survey::of_proc(file.metadata().unwrap().dev()).unwrap();
        assert!(
            survey
                .users
                .iter()
                .all(|user| user.process.pid != child.id())
        );
    }
}
