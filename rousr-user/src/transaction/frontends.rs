//! Who runs a transaction, so that it ends with the last of them and not before.
//!
//! A maintainer script or a hook can run a frontend of its own, whose hooks come between those of
//! the outer one.

use std::{ffi::OsStr, ops, os::unix::process::parent_id};

use serde::{Deserialize, Serialize};

use crate::track::process::{Process, executable, is_running, original, parent};

/// Shells that run hooks: apt and dpkg start each by `sh -c`.
const SHELLS: [&str; 3] = ["sh", "dash", "bash"];

/// A process whose hooks begin and end a transaction.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontend {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot, as in /proc/PID/stat.
    pub started: u64,
    /// Whether it begins before it has dpkg's lock, as dpkg itself does: a lock that becomes free was
    /// another's.
    #[serde(default, skip_serializing_if = "ops::Not::not")]
    pub locks_later: bool,
}

impl Frontend {
    /// The one that called the hook that this process is: its nearest ancestor that is no shell, or the
    /// first of all. `None` where that cannot be told.
    ///
    /// apt calls all hooks of a kind from a copy of itself that ends with the last of them (`RunScripts` in its
    /// apt-pkg/contrib/fileutl.cc, by `ExecFork`); the frontend is what that is a copy of.
    pub fn of_hook() -> Option<Self> {
        let mut process = Process::read(parent_id()).ok()?;
        while is_shell(&process)
            && let Ok(parent) = parent(process.pid)
        {
            process = Process::read(parent).ok()?;
        }
        while let Some(original) = original(process.pid) {
            process = Process::read(original).ok()?;
        }
        Some(Self {
            pid: process.pid,
            started: process.started,
            locks_later: false,
        })
    }

    /// Whether it has not ended.
    pub fn is_running(self) -> bool {
        is_running(self.pid, self.started)
    }
}

/// A script has its own name and its shell's program.
fn is_shell(process: &Process) -> bool {
    let program = executable(process.pid);
    let program = program.as_deref().and_then(|path| path.file_name());
    SHELLS
        .iter()
        .any(|&shell| process.comm == shell || program == Some(OsStr::new(shell)))
}

/// All that take part in the transaction.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Frontends {
    /// Those that have not told their end, the outermost first.
    inside: Vec<Inside>,
    /// Whether dpkg was locked when one began of which nothing else is known.
    was_locked: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inside {
    #[serde(flatten)]
    frontend: Frontend,
    /// Whether dpkg was locked when it began. Hooks that are called by hand lock nothing.
    #[serde(default)]
    was_locked: bool,
}

impl Inside {
    /// Whether a free lock does not tell its end.
    fn is_lockless(&self) -> bool {
        self.frontend.locks_later || !self.was_locked
    }
}

impl Frontends {
    /// One begins, and those that have died are no part of it any more.
    pub fn enter(&mut self, frontend: Option<Frontend>, world: &impl World) {
        self.inside
            .retain(|inside| world.is_running(inside.frontend));
        let was_locked = world.is_locked();
        let Some(frontend) = frontend else {
            self.was_locked = was_locked;
            return;
        };
        match self.find(frontend) {
            Some(inside) => inside.was_locked = was_locked,
            None => self.inside.push(Inside {
                frontend,
                was_locked,
            }),
        }
    }

    fn find(&mut self, frontend: Frontend) -> Option<&mut Inside> {
        let mut inside = self.inside.iter_mut();
        inside.find(|inside| inside.frontend == frontend)
    }

    /// Whether this one has begun, and has not told its end.
    pub fn has(&self, frontend: Frontend) -> bool {
        (self.inside.iter()).any(|inside| inside.frontend == frontend)
    }

    /// One tells its end. `true` where the transaction is over with it: nobody else is inside, or it
    /// was not inside itself and dpkg is not locked. `None` ends it in any case.
    pub fn leave(&mut self, frontend: Option<Frontend>, world: &impl World) -> bool {
        let was_inside = frontend.is_some_and(|frontend| self.has(frontend));
        self.inside.retain(|inside| {
            Some(inside.frontend) != frontend && world.is_running(inside.frontend)
        });
        frontend.is_none()
            || self.inside.is_empty()
            || !was_inside && !world.is_locked()
            || self.are_gone(world)
    }

    /// Whether nobody will tell the end any more: the lock is free that was held, and all have died whose
    /// lock it was not.
    pub fn are_gone(&self, world: &impl World) -> bool {
        !world.is_locked() && self.lockless(|one| world.is_running(one)).next().is_none()
    }

    /// Those that run, and whose end a free lock does not tell.
    fn lockless(&self, is_running: impl Fn(Frontend) -> bool) -> impl Iterator<Item = Frontend> {
        let lockless = self.inside.iter().filter(|inside| inside.is_lockless());
        let lockless = lockless.map(|inside| inside.frontend);
        lockless.filter(move |&frontend| is_running(frontend))
    }

    /// What may be the end, where nobody tells it.
    pub fn awaited(&self, is_running: impl Fn(Frontend) -> bool) -> Awaited {
        let lockless: Vec<Frontend> = self.lockless(is_running).collect();
        // Those who had no lock can have died while somebody else has it.
        let is_left = self.was_locked || !self.inside.is_empty();
        match lockless.is_empty() && is_left {
            true => Awaited::Lock,
            false => Awaited::Deaths(lockless),
        }
    }
}

/// What the end of a transaction can be known by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Awaited {
    /// dpkg's lock becomes free.
    Lock,
    /// One of these dies; nothing but a hook tells where there are none.
    Deaths(Vec<Frontend>),
}

/// What decides whether a frontend is still at work.
pub trait World {
    /// Whether dpkg is locked by anybody.
    fn is_locked(&self) -> bool;

    /// Whether this process has not ended.
    fn is_running(&self, frontend: Frontend) -> bool;
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use proptest::prelude::*;

    use super::*;

    /// Of the frontends 0, 1 and 2 those that run, from the outermost on, and those that lock dpkg: the
    /// outermost of them has the lock.
    #[derive(Debug, Default)]
    struct Fake {
        running: RefCell<Vec<u32>>,
        locking: RefCell<Vec<u32>>,
    }

    impl World for Fake {
        fn is_locked(&self) -> bool {
            let locking = self.locking.borrow();
            (self.running.borrow().iter()).any(|pid| locking.contains(pid))
        }

        fn is_running(&self, frontend: Frontend) -> bool {
            self.running.borrow().contains(&frontend.pid)
        }
    }

    fn frontend(pid: u32) -> Option<Frontend> {
        Some(Frontend {
            pid,
            started: pid.into(),
            locks_later: false,
        })
    }

    fn dpkg(pid: u32) -> Option<Frontend> {
        frontend(pid).map(|frontend| Frontend {
            locks_later: true,
            ..frontend
        })
    }

    fn fake(locks: bool, running: &[u32]) -> Fake {
        Fake {
            running: RefCell::new(running.to_vec()),
            locking: RefCell::new(running.iter().filter(|_| locks).copied().collect()),
        }
    }

    #[test]
    fn an_inner_end_ends_nothing() {
        for locks in [true, false] {
            let world = fake(locks, &[0, 1]);
            let mut frontends = Frontends::default();
            frontends.enter(frontend(0), &world);
            frontends.enter(frontend(1), &world);
            assert!(!frontends.leave(frontend(1), &world), "{locks}");
            assert!(!frontends.are_gone(&world));
            assert!(frontends.leave(frontend(0), &world));
        }
    }

    #[test]
    fn an_inner_one_that_died_is_not_waited_for() {
        for locks in [true, false] {
            let world = fake(locks, &[0, 1]);
            let mut frontends = Frontends::default();
            frontends.enter(frontend(0), &world);
            frontends.enter(frontend(1), &world);
            world.running.borrow_mut().pop();
            assert!(!frontends.are_gone(&world), "the outer one is at work");
            assert!(frontends.leave(frontend(0), &world), "{locks}");
        }
    }

    #[test]
    fn a_dead_outer_one_that_had_the_lock_ends_all() {
        let world = fake(true, &[0]);
        let mut frontends = Frontends::default();
        frontends.enter(frontend(0), &world);
        frontends.enter(frontend(1), &world);
        world.running.borrow_mut().clear();
        assert!(frontends.are_gone(&world));
        // One that lives on without the lock had it before.
        assert!(frontends.are_gone(&fake(false, &[0])));
    }

    #[test]
    fn one_that_begins_again_is_inside_once() {
        let world = fake(true, &[0]);
        let mut frontends = Frontends::default();
        frontends.enter(frontend(0), &world);
        frontends.enter(frontend(0), &world);
        assert!(frontends.leave(frontend(0), &world));
    }

    #[test]
    fn a_stranger_ends_it_only_where_nobody_has_the_lock() {
        for locks in [true, false] {
            let world = fake(locks, &[0]);
            let mut frontends = Frontends::default();
            frontends.enter(frontend(0), &world);
            assert_eq!(frontends.leave(frontend(9), &world), !locks);
        }
        let world = fake(true, &[0]);
        let mut frontends = Frontends::default();
        frontends.enter(frontend(0), &world);
        assert!(frontends.leave(None, &world), "an end by hand");
    }

    #[test]
    fn where_all_have_died_the_lock_of_another_is_awaited() {
        let inner = frontend(1).expect("one");
        let mut frontends = Frontends::default();
        assert_eq!(frontends.awaited(|_| true), Awaited::Deaths(vec![]));
        frontends.enter(frontend(0), &fake(false, &[0]));
        frontends.enter(frontend(1), &fake(false, &[0, 1]));
        let one_runs = |frontend: Frontend| frontend.pid == 1;
        assert_eq!(frontends.awaited(one_runs), Awaited::Deaths(vec![inner]));
        assert_eq!(frontends.awaited(|_| false), Awaited::Lock);
        frontends.enter(frontend(1), &fake(true, &[0, 1]));
        let outer = frontend(0).expect("one");
        assert_eq!(frontends.awaited(|_| true), Awaited::Deaths(vec![outer]));
        assert_eq!(frontends.awaited(one_runs), Awaited::Lock);
    }

    #[test]
    fn a_script_that_called_the_hooks_goes_on_after_an_apt_inside_of_it() {
        let world = fake(false, &[0, 1]);
        let mut frontends = Frontends::default();
        frontends.enter(frontend(0), &world);
        world.locking.borrow_mut().push(1);
        frontends.enter(frontend(1), &world);
        world.running.borrow_mut().pop();
        assert!(!frontends.are_gone(&world), "the script is at work");
        world.running.borrow_mut().pop();
        assert!(frontends.are_gone(&world));
    }

    #[test]
    fn a_record_without_frontends_is_of_hooks_by_hand() {
        let frontends: Frontends = serde_json::from_str("{}").expect("an older record");
        assert!(frontends.are_gone(&fake(true, &[])));
        assert!(!frontends.are_gone(&fake(true, &[0])));
    }

    #[test]
    fn a_dpkg_that_waits_for_its_lock_is_not_ended_with_the_one_that_had_it() {
        let world = fake(true, &[0, 1]);
        let mut frontends = Frontends::default();
        frontends.enter(frontend(0), &world);
        frontends.enter(dpkg(1), &world);
        let without_lock = fake(false, &[0, 1]);
        assert!(!frontends.leave(frontend(0), &without_lock));
        assert!(!frontends.are_gone(&without_lock));
        let dpkg = Vec::from_iter(dpkg(1));
        assert_eq!(frontends.awaited(|_| true), Awaited::Deaths(dpkg));
        assert!(frontends.are_gone(&fake(false, &[0])));
    }

    /// What a frontend nested in the others does.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        /// Another one starts inside the innermost, and its first hook runs.
        Begin { locks: bool },
        /// The innermost runs its last hook and ends.
        End,
        /// The innermost is killed.
        Die,
        /// All are killed.
        DieAll,
    }

    proptest! {
        /// The model is a stack: open exactly while somebody is on it who has begun.
        #[test]
        fn it_is_open_while_anybody_is_inside(
            acts in prop::collection::vec(
                prop::sample::select(vec![
                    Act::Begin { locks: true },
                    Act::Begin { locks: false },
                    Act::End,
                    Act::Die,
                    Act::DieAll,
                ]),
                1..40,
            ),
        ) {
            let world = fake(false, &[]);
            let mut record: Option<Frontends> = None;
            let mut next = 0;
            for act in acts {
                match act {
                    Act::Begin { locks } => {
                        world.running.borrow_mut().push(next);
                        world.locking.borrow_mut().extend(locks.then_some(next));
                        record.get_or_insert_default().enter(frontend(next), &world);
                        next += 1;
                    }
                    Act::End => {
                        let innermost = world.running.borrow().last().copied();
                        if let (Some(innermost), Some(frontends)) = (innermost, &mut record)
                            && frontends.leave(frontend(innermost), &world)
                        {
                            record = None;
                        }
                        world.running.borrow_mut().pop();
                    }
                    Act::Die => {
                        world.running.borrow_mut().pop();
                    }
                    Act::DieAll => world.running.borrow_mut().clear(),
                }
                if record.as_ref().is_some_and(|frontends| frontends.are_gone(&world)) {
                    record = None;
                }
                prop_assert_eq!(record.is_some(), !world.running.borrow().is_empty(), "{:?}", act);
            }
        }

        /// Several side by side, of which one at a time has the lock, apts that have it before they begin and
        /// dpkgs that wait for it: open while any is there that has begun.
        #[test]
        fn it_is_open_for_each_that_runs(
            acts in prop::collection::vec((0..5_u8, 0..4_usize), 1..60),
        ) {
            let world = Side::default();
            let mut record: Option<Frontends> = None;
            let mut next = 0;
            for (act, which) in acts {
                let chosen = world.running.borrow().get(which).copied();
                match (act, chosen) {
                    (0, _) => {
                        world.running.borrow_mut().push(next);
                        record.get_or_insert_default().enter(dpkg(next), &world);
                        next += 1;
                    }
                    (4, _) if !world.is_locked() => {
                        world.running.borrow_mut().push(next);
                        world.apts.borrow_mut().push(next);
                        world.owner.set(Some(next));
                        record.get_or_insert_default().enter(frontend(next), &world);
                        next += 1;
                    }
                    (1, Some(pid)) if !world.is_locked() => world.owner.set(Some(pid)),
                    (2, Some(pid)) => {
                        world.unlock(pid);
                        if let Some(frontends) = &mut record
                            && frontends.leave(world.kind(pid), &world)
                        {
                            record = None;
                        }
                        world.end(pid);
                    }
                    (3, Some(pid)) => world.end(pid),
                    _ => {}
                }
                if record.as_ref().is_some_and(|frontends| frontends.are_gone(&world)) {
                    record = None;
                }
                prop_assert_eq!(record.is_some(), !world.running.borrow().is_empty(), "{} {}", act, which);
            }
        }
    }

    /// Processes side by side, and which of them has the lock.
    #[derive(Debug, Default)]
    struct Side {
        running: RefCell<Vec<u32>>,
        apts: RefCell<Vec<u32>>,
        owner: Cell<Option<u32>>,
    }

    impl Side {
        fn kind(&self, pid: u32) -> Option<Frontend> {
            match self.apts.borrow().contains(&pid) {
                true => frontend(pid),
                false => dpkg(pid),
            }
        }

        fn unlock(&self, pid: u32) {
            if self.owner.get() == Some(pid) {
                self.owner.set(None);
            }
        }

        fn end(&self, pid: u32) {
            self.unlock(pid);
            self.running.borrow_mut().retain(|&running| running != pid);
        }
    }

    impl World for Side {
        fn is_locked(&self) -> bool {
            self.owner.get().is_some()
        }

        fn is_running(&self, frontend: Frontend) -> bool {
            self.running.borrow().contains(&frontend.pid)
        }
    }
}
