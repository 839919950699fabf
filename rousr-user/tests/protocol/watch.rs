//! How the agent enters inodes, takes them out again, and counts what is open.

use crate::{
    agent::own,
    rules::{Protocol, Rule},
    state::{
        Aim, Birth, Death, INODES, Inode, Memory, News, Place, Pointer, SLOTS, Slot, State, Work,
    },
};

impl Protocol {
    pub(crate) fn first_program(&self) -> Work {
        if self.keeps(Rule::DeathsAttachedFirst) {
            Work::AttachDeaths
        } else {
            Work::AttachBirths
        }
    }

    /// Enters an inode into `WATCHED` if it is held.
    pub(crate) fn enter(&self, state: &mut State, inode: Inode) -> Work {
        if state.is_held(inode) {
            state.watched[usize::from(inode)].get_or_insert(0);
            for_each_pointer(state, |pointer| {
                if pointer.memory == Memory::Deleted {
                    pointer.memory = Memory::Reused;
                }
            });
        }
        if inode + 1 < self.bounds.inodes {
            return Work::Insert(inode + 1);
        }
        let attached = state.deaths & own(state) != 0;
        if attached || !self.keeps(Rule::SeedAfterAttach) {
            Work::Visit(0)
        } else {
            self.first_program()
        }
    }

    /// A new agent is the only one: are the counts it finds any good?
    pub(crate) fn take_over(&self, state: &mut State) -> Work {
        if !self.bounds.keep || !self.is_whole(state) {
            state.agent.aim = Aim::Rewatch;
            return Work::Delete(0);
        }
        if self.keeps(Rule::SeedAfterStart) {
            Work::Visit(0)
        } else {
            self.seeded(state)
        }
    }

    fn is_whole(&self, state: &State) -> bool {
        let is_watched = |inode| state.pointer(inode).is_some();
        let mut named = state.entries.iter().flatten();
        self.inodes()
            .all(|inode| is_watched(inode) == state.is_held(inode))
            && (state.losses, state.misses) == (0, 0)
            && (!self.keeps(Rule::FilesReadAtStart) || named.all(|&inode| is_watched(inode)))
    }

    pub(crate) fn delete(&self, state: &mut State, inode: Inode) -> Work {
        let aim = state.agent.aim;
        if aim.covers(inode) {
            state.watched[usize::from(inode)] = None;
            for_each_pointer(state, |pointer| {
                if pointer.inode == inode && pointer.memory == Memory::Value {
                    pointer.memory = Memory::Deleted;
                }
            });
        }
        if inode + 1 < self.bounds.inodes {
            return Work::Delete(inode + 1);
        }
        match aim {
            Aim::End => Work::DetachBirths,
            // Its count was zero: no file of it is entered.
            Aim::Unwatch(_) if self.keeps(Rule::PurgeOnlyUnwatched) => Work::Look(0),
            Aim::Rewatch | Aim::Unwatch(_) => self.deleted(),
        }
    }

    pub(crate) fn deleted(&self) -> Work {
        if self.keeps(Rule::WaitBeforePurge) {
            Work::BeginWait
        } else {
            Work::PurgeRead(0)
        }
    }

    pub(crate) fn waited(&self, state: &mut State) -> Work {
        let Aim::Unwatch(inode) = state.agent.aim else {
            return self.purge(state, 0);
        };
        if !self.keeps(Rule::PurgeOnlyUnwatched) {
            return self.purge(state, 0);
        }
        if state.watched[usize::from(inode)] != Some(0) {
            // Entries of it are left, which only go with all others.
            state.agent.aim = Aim::Rewatch;
        }
        Work::Delete(0)
    }

    pub(crate) fn purge(&self, state: &mut State, slot: Slot) -> Work {
        let rule = match state.agent.aim {
            Aim::Rewatch => Rule::PurgeBeforeInsert,
            Aim::Unwatch(_) | Aim::End => Rule::PurgeAfterDelete,
        };
        if usize::from(slot) < SLOTS && self.keeps(rule) {
            return Work::PurgeRead(slot);
        }
        match state.agent.aim {
            Aim::Rewatch => Work::Insert(0),
            Aim::Unwatch(_) => Work::Look(0),
            Aim::End => Work::Done,
        }
    }

    pub(crate) fn visit(&self, state: &mut State, slot: Slot) -> Work {
        let file = *state.file(slot);
        if !file.table {
            // A file that is still before its hook is counted there.
            let coming = state.cpus.iter().any(|cpu| cpu.at == Place::Raised(slot));
            state.file_mut(slot).dark = file.live && !file.path && !coming;
            return self.visited(state, slot);
        }
        let visited = state.file_mut(slot);
        (visited.held, visited.dark) = (true, false);
        let watched = state.watched[usize::from(file.inode)].is_some();
        if watched
            && !file.path
            && self.insert(state, slot, file.inode)
            && let Some(count) = &mut state.watched[usize::from(file.inode)]
        {
            *count += 1;
        }
        Work::Leave(slot)
    }

    pub(crate) fn visited(&self, state: &mut State, slot: Slot) -> Work {
        if usize::from(slot) + 1 < SLOTS {
            return Work::Visit(slot + 1);
        }
        if state.deaths & own(state) == 0 {
            return self.first_program();
        }
        self.seeded(state)
    }

    pub(crate) fn seeded(&self, state: &mut State) -> Work {
        if !self.keeps(Rule::LossNotedFirst) {
            state.agent.losses_seen = state.losses;
            state.agent.misses_seen = state.misses;
        }
        if self.keeps(Rule::LookAfterSeed) {
            state.agent.todo = [News::Counted; INODES];
        }
        Work::Look(0)
    }
}

impl Aim {
    pub(crate) fn covers(self, inode: Inode) -> bool {
        match self {
            Self::Rewatch | Self::End => true,
            Self::Unwatch(only) => only == inode,
        }
    }
}

fn for_each_pointer(state: &mut State, change: impl Fn(&mut Pointer)) {
    for cpu in &mut state.cpus {
        if let Place::Birth(_, Birth::Insert(pointer) | Birth::Add(pointer))
        | Place::Death(_, Death::Remove(pointer) | Death::Subtract(pointer)) = &mut cpu.at
        {
            change(pointer);
        }
    }
}
