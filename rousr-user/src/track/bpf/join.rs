//! Joins the records of the three passes by process.

use std::collections::{BTreeSet, HashMap, HashSet};

use rousr_ebpf::{InodeVisit, TaskVisit, Visit, visit_flags};

use crate::track::{
    control_group::Paths,
    process::{Membership, Process},
    survey::{Link, Survey, User},
    usage::{How, Usage},
};

/// What names a process for good: its number, and when it started in nanoseconds since boot.
type Key = (u32, u64);

/// The records so far.
pub(super) struct Join {
    device: u64,
    seen: Vec<Seen>,
    places: HashMap<Key, usize>,
    links: HashMap<u64, Link>,
    /// The process of the last record: those of one come in a row.
    current: Option<(Key, usize)>,
}

/// A process.
struct Seen {
    key: Key,
    control_group: u64,
    name: [u8; 16],
    usages: Vec<Usage>,
    /// Where mappings begin that any of several threads shows.
    starts: HashSet<u64>,
}

/// All processes that use something.
pub(super) struct Joined {
    seen: Vec<Seen>,
    links: HashMap<u64, Link>,
}

impl Join {
    pub(super) fn new(device: u64) -> Self {
        Self {
            device,
            seen: Vec::new(),
            places: HashMap::new(),
            links: HashMap::new(),
            current: None,
        }
    }

    /// All tasks come before what they use.
    pub(super) fn task(&mut self, visit: &TaskVisit) {
        let key = (visit.group, visit.started);
        let place = *self.places.entry(key).or_insert_with(|| {
            self.seen.push(Seen::new(key, visit));
            self.seen.len() - 1
        });
        let is_first = visit.flags & visit_flags::THREAD == 0;
        for (inode, how, link, asked) in [
            (&visit.program, How::Executable, "exe", is_first),
            (&visit.current, How::WorkingDirectory, "cwd", true),
            (&visit.root, How::Root, "root", true),
        ] {
            if asked && inode.number != 0 {
                let usage = usage(self.device, visit.group, inode, how);
                self.seen[place].usages.push(usage);
                self.link(inode.number, || Link::of(visit.group, link));
            }
        }
    }

    pub(super) fn descriptor(&mut self, visit: &Visit) {
        // A descriptor's number is an int.
        let number = visit.value as u32;
        let how = match visit.flags & visit_flags::PATH {
            0 => How::Descriptor(number),
            _ => How::PathDescriptor(number),
        };
        if self.add(visit, how) {
            self.link(visit.inode.number, || {
                Link::of(visit.group, &format!("fd/{number}"))
            });
        }
    }

    pub(super) fn mapping(&mut self, visit: &Visit) {
        if self.add(visit, How::Mapping) {
            self.link(visit.inode.number, || Link::Mapping {
                pid: visit.group,
                start: visit.value,
            });
        }
    }

    /// Adds a way of use, unless its process has ended meanwhile.
    fn add(&mut self, visit: &Visit, how: How) -> bool {
        let device = self.device;
        let Some(seen) = self.process((visit.group, visit.started)) else {
            return false;
        };
        if visit.flags & visit_flags::THREAD != 0 && !seen.starts.insert(visit.value) {
            return false;
        }
        seen.usages.push(Usage {
            writable: visit.flags & visit_flags::WRITE != 0,
            times: u32::try_from(visit.times).unwrap_or(u32::MAX),
            ..usage(device, visit.group, &visit.inode, how)
        });
        true
    }

    fn process(&mut self, key: Key) -> Option<&mut Seen> {
        let place = match self.current {
            Some((current, place)) if current == key => place,
            _ => *self.places.get(&key)?,
        };
        self.current = Some((key, place));
        self.seen.get_mut(place)
    }

    fn link(&mut self, inode: u64, link: impl FnOnce() -> Link) {
        self.links.entry(inode).or_insert_with(link);
    }

    pub(super) fn finish(mut self) -> Joined {
        self.seen.retain(|seen| !seen.usages.is_empty());
        self.seen.sort_unstable_by_key(|seen| seen.key);
        for seen in &mut self.seen {
            Usage::merge(&mut seen.usages);
        }
        Joined {
            seen: self.seen,
            links: self.links,
        }
    }
}

fn usage(device: u64, pid: u32, inode: &InodeVisit, how: How) -> Usage {
    Usage {
        pid,
        inode: inode.number,
        device,
        links: inode.links.into(),
        directory: inode.mode & libc::S_IFMT == libc::S_IFDIR,
        writable: false,
        times: 1,
        how,
    }
}

impl Seen {
    fn new(key: Key, visit: &TaskVisit) -> Self {
        Self {
            key,
            control_group: visit.control_group,
            name: visit.name,
            usages: Vec::new(),
            starts: HashSet::new(),
        }
    }

    fn name(&self) -> String {
        let end = self.name.iter().position(|&byte| byte == 0);
        String::from_utf8_lossy(&self.name[..end.unwrap_or(self.name.len())]).into_owned()
    }
}

impl Joined {
    /// The control groups whose paths are of interest.
    pub(super) fn control_groups(&self) -> BTreeSet<u64> {
        self.seen.iter().map(|seen| seen.control_group).collect()
    }

    pub(super) fn survey(self, groups: &Paths) -> Survey {
        let users = self.seen.into_iter().map(|seen| {
            let (pid, started) = seen.key;
            let Membership { unit, container } = match groups.get(&seen.control_group) {
                Some(path) => Membership::of_path(path),
                // Made meanwhile, or in a hierarchy of version 1.
                None => Membership::of_process(pid).unwrap_or_default(),
            };
            User {
                process: Process {
                    pid,
                    comm: seen.name(),
                    started: ticks(started),
                    unit,
                    container,
                },
                usages: seen.usages,
            }
        });
        Survey {
            users: users.collect(),
            incomplete: 0,
            links: self.links,
        }
    }
}

/// Nanoseconds as /proc/PID/stat tells them: 100 ticks a second (`USER_HZ`).
fn ticks(nanoseconds: u64) -> u64 {
    nanoseconds / 10_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = libc::S_IFREG | 0o644;

    fn inode(number: u64) -> InodeVisit {
        InodeVisit {
            number,
            links: 1,
            mode: FILE,
        }
    }

    fn task(group: u32, program: u64) -> TaskVisit {
        TaskVisit {
            started: u64::from(group) * 1_000_000_000,
            control_group: 5,
            group,
            flags: 0,
            name: *b"sleeper\0\0\0\0\0\0\0\0\0",
            program: inode(program),
            current: InodeVisit::default(),
            root: InodeVisit::default(),
        }
    }

    fn visit(group: u32, number: u64, value: u64, flags: u32) -> Visit {
        Visit {
            started: u64::from(group) * 1_000_000_000,
            value,
            group,
            flags,
            times: 1,
            inode: inode(number),
        }
    }

    fn survey(join: Join) -> Survey {
        let groups = Paths::from([(5, b"/system.slice/docker-abc.scope".to_vec())]);
        join.finish().survey(&groups)
    }

    fn uses(user: &User) -> Vec<(u64, How, u32, bool)> {
        let usages = user.usages.iter();
        usages
            .map(|usage| (usage.inode, usage.how, usage.times, usage.writable))
            .collect()
    }

    #[test]
    fn what_a_process_uses_is_told_by_kind_and_inode() {
        let mut join = Join::new(1);
        join.task(&task(7, 40));
        join.task(&task(8, 0));
        join.descriptor(&visit(7, 41, 3, visit_flags::WRITE));
        join.descriptor(&visit(7, 41, 4, visit_flags::PATH));
        for (number, start, times) in [(40, 0, 5), (42, 2, 1), (40, 3, 1)] {
            let mut run = visit(7, number, start, 0);
            run.times = times;
            join.mapping(&run);
        }
        let survey = survey(join);
        assert_eq!(survey.users.len(), 1, "process 8 uses nothing");
        let user = &survey.users[0];
        assert_eq!(
            uses(user),
            [
                (40, How::Mapping, 6, false),
                (40, How::Executable, 1, false),
                (41, How::Descriptor(3), 1, true),
                (41, How::PathDescriptor(4), 1, false),
                (42, How::Mapping, 1, false),
            ]
        );
        assert_eq!((user.process.pid, user.process.started), (7, 700));
        assert_eq!(user.process.comm, "sleeper");
        let unit = user.process.unit.as_ref().map(|unit| unit.name.as_str());
        assert_eq!(unit, Some("docker-abc.scope"));
        assert_eq!(user.process.container.as_deref(), Some("abc"));
        let link = Link::Mapping { pid: 7, start: 2 };
        assert_eq!(survey.links.get(&42), Some(&link));
    }

    #[test]
    fn records_of_an_ended_or_another_process_are_dropped() {
        let mut join = Join::new(1);
        join.task(&task(7, 40));
        join.mapping(&visit(9, 40, 0, 0));
        let mut later = visit(7, 41, 0, 0);
        later.started += 1;
        join.mapping(&later);
        let survey = survey(join);
        assert_eq!(survey.users.len(), 1);
        assert_eq!(uses(&survey.users[0]), [(40, How::Executable, 1, false)]);
    }

    #[test]
    fn threads_of_a_process_without_its_first_show_each_mapping_once() {
        let mut join = Join::new(1);
        join.task(&task(7, 0));
        join.task(&task(8, 40));
        for start in [0, 1, 0, 1] {
            join.mapping(&visit(7, 42, start, visit_flags::THREAD));
            join.mapping(&visit(8, 42, start, 0));
        }
        let survey = survey(join);
        assert_eq!(uses(&survey.users[0]), [(42, How::Mapping, 2, false)]);
    }

    #[test]
    fn a_thread_can_have_a_place_of_its_own() {
        let mut join = Join::new(1);
        let mut first = task(7, 40);
        first.current = inode(50);
        let mut second = first;
        second.flags = visit_flags::THREAD;
        second.current = inode(51);
        join.task(&first);
        join.task(&second);
        let survey = survey(join);
        assert_eq!(
            uses(&survey.users[0])[1..],
            [
                (50, How::WorkingDirectory, 1, false),
                (51, How::WorkingDirectory, 1, false)
            ]
        );
    }
}
