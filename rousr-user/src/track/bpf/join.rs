//! Joins the records of the three passes by process.

use std::collections::{BTreeSet, HashMap, HashSet};

use rousr_ebpf::{InodeVisit, TaskVisit, UNTOLD, Visit, visit_flags};

use crate::track::{
    control_group::Paths,
    membership::Membership,
    process::Process,
    survey::{Link, Queue, Survey, User},
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
    nameless: Option<u64>,
    /// Removed directories, with the inode that is in each and how it is used.
    around: Vec<(Key, InodeVisit, u64, How)>,
    /// The process of the last record: those of one come in a row.
    current: Option<(Key, usize)>,
}

/// A process.
struct Seen {
    key: Key,
    control_group: u64,
    name: [u8; 16],
    usages: Vec<Usage>,
    /// Descriptors of sockets, and the files in flight in each.
    queues: Vec<(u32, u64)>,
    /// Where mappings begin that any of several threads shows.
    starts: HashSet<u64>,
}

/// All processes that use something.
pub(super) struct Joined {
    seen: Vec<Seen>,
    links: HashMap<u64, Link>,
    nameless: Option<u64>,
}

impl Join {
    pub(super) fn new(device: u64) -> Self {
        Self {
            device,
            seen: Vec::new(),
            places: HashMap::new(),
            links: HashMap::new(),
            nameless: None,
            around: Vec::new(),
            current: None,
        }
    }

    /// All tasks come before what they use.
    pub(super) fn task(&mut self, visit: &TaskVisit) {
        let key = (visit.group, visit.started);
        if visit.flags & visit_flags::AROUND != 0 {
            let (below, how) = match visit.current.number {
                0 => (visit.root.number, How::Within),
                current => (current, How::WorkingWithin),
            };
            return self.around.push((key, visit.program, below, how));
        }
        let place = *self.places.entry(key).or_insert_with(|| {
            self.seen.push(Seen::new(key, visit));
            self.seen.len() - 1
        });
        if visit.nameless != UNTOLD {
            // The last one is the latest; never negative but for a moment between two CPUs.
            self.nameless = Some(u64::try_from(visit.nameless).unwrap_or(0));
        }
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
        if self.add_around(visit) {
            return;
        }
        if visit.flags & visit_flags::IN_FLIGHT != 0 {
            if let Some(seen) = self.process((visit.group, visit.started)) {
                seen.queues.push((number, visit.times));
            }
            return;
        }
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
        if self.add_around(visit) {
            return;
        }
        if self.add(visit, How::Mapping) {
            self.link(visit.inode.number, || Link::Mapping {
                pid: visit.group,
                start: visit.value,
            });
        }
    }

    /// Whether it is a directory around something, which is kept for later.
    fn add_around(&mut self, visit: &Visit) -> bool {
        let is_around = visit.flags & visit_flags::AROUND != 0;
        if is_around {
            let key = (visit.group, visit.started);
            let around = (key, visit.inode, visit.times, How::Within);
            self.around.push(around);
        }
        is_around
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
        // A directory's own use shows its path best.
        for (key, inode, below, how) in std::mem::take(&mut self.around) {
            let usage = usage(self.device, key.0, &inode, how);
            if let Some(seen) = self.process(key) {
                seen.usages.push(usage);
                self.link(inode.number, || Link::Around(below));
            }
        }
        self.seen
            .retain(|seen| !seen.usages.is_empty() || !seen.queues.is_empty());
        self.seen.sort_unstable_by_key(|seen| seen.key);
        for seen in &mut self.seen {
            Usage::merge(&mut seen.usages);
        }
        Joined {
            seen: self.seen,
            links: self.links,
            nameless: self.nameless,
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
            queues: Vec::new(),
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
        let mut queues = Vec::new();
        let mut users = Vec::with_capacity(self.seen.len());
        for seen in self.seen {
            let (pid, started) = seen.key;
            let Membership { unit, container } = match groups.get(&seen.control_group) {
                Some(path) => Membership::of_path(path),
                // Made meanwhile, or in a hierarchy of version 1.
                None => Membership::of_process(pid).unwrap_or_default(),
            };
            let process = Process {
                pid,
                comm: seen.name(),
                started: ticks(started),
                unit,
                container,
            };
            queues.extend(seen.queues.into_iter().map(|(descriptor, files)| Queue {
                process: process.clone(),
                descriptor,
                files,
            }));
            if !seen.usages.is_empty() {
                users.push(User {
                    process,
                    usages: seen.usages,
                });
            }
        }
        Survey {
            users,
            queues,
            nameless: self.nameless,
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
            nameless: UNTOLD,
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
    fn what_is_in_flight_and_what_the_kernel_counts_is_told() {
        let mut join = Join::new(1);
        join.task(&TaskVisit {
            nameless: 3,
            ..task(7, 0)
        });
        join.task(&task(8, 0));
        let mut socket = visit(7, 0, 5, visit_flags::IN_FLIGHT);
        socket.times = 2;
        join.descriptor(&socket);
        join.descriptor(&visit(9, 0, 5, visit_flags::IN_FLIGHT));
        let survey = survey(join);
        assert_eq!(survey.nameless, Some(3));
        assert!(survey.users.is_empty(), "nothing of the filesystem is used");
        let queues = survey.queues.iter();
        let told: Vec<(u32, u32, u64)> = queues
            .map(|queue| (queue.process.pid, queue.descriptor, queue.files))
            .collect();
        assert_eq!(told, [(7, 5, 2)], "process 9 has ended");
    }

    #[test]
    fn directories_around_what_is_used_are_told() {
        let mut join = Join::new(1);
        let mut standing = task(7, 40);
        standing.current = inode(50);
        join.task(&standing);
        let mut above = task(7, 60);
        above.flags = visit_flags::AROUND;
        above.current = inode(50);
        join.task(&above);
        let mut around = visit(7, 61, 0, visit_flags::AROUND);
        around.times = 40;
        join.mapping(&around);
        let survey = survey(join);
        assert_eq!(
            uses(&survey.users[0])[2..],
            [
                (60, How::WorkingWithin, 1, false),
                (61, How::Within, 1, false)
            ]
        );
        assert_eq!(survey.links.get(&60), Some(&Link::Around(50)));
        assert_eq!(survey.links.get(&61), Some(&Link::Around(40)));
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
