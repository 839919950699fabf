//! How the agent enters inodes, counts what is open, and puts counts right.

use crate::{
    agent::own,
    look::close,
    rules::{Protocol, Rule},
    state::{
        AGENT, Birth, Death, INODES, Inode, Memory, Place, Pointer, SLOTS, Slot, Stage, State, Work,
    },
    tasks::put,
};

impl Protocol {
    /// Enters the holds that are not entered. What an agent before this one has counted is kept
    /// where it names the held inodes and nothing else.
    pub(crate) fn enter_held(&self, state: &mut State) -> Work {
        let may_have_skipped = self.bounds.left.skips > 0 && self.keeps(Rule::AnewAfterSkip);
        if state.agent.generation > 0 && (may_have_skipped || !self.is_whole(state)) {
            return self.begin_anew(state);
        }
        for inode in self.inodes() {
            let index = usize::from(inode);
            let is_entered = state.watched[index].is_some();
            state.agent.anew[index] = state.is_held(inode) && !is_entered;
            state.agent.unsure[index] = is_entered && state.agent.generation > 0;
        }
        state.agent.stage = Stage::All;
        if state.agent.anew.contains(&true) {
            return self.deleted(state);
        }
        self.entered(state)
    }

    fn is_whole(&self, state: &State) -> bool {
        let is_watched = |inode: Inode| state.watched[usize::from(inode)].is_some();
        let mut counted = state.entries.iter().flatten();
        self.inodes()
            .all(|inode| !is_watched(inode) || state.is_held(inode))
            && (!self.keeps(Rule::KeptIfWhole) || counted.all(|&inode| is_watched(inode)))
    }

    /// All counts go back to zero.
    pub(crate) fn begin_anew(&self, state: &mut State) -> Work {
        state.agent.anew = [true; INODES];
        state.agent.littered = false;
        if self.keeps(Rule::LookAfterAnew) {
            state.agent.stage = Stage::All;
        }
        Work::Delete(0)
    }

    pub(crate) fn delete(&self, state: &mut State, inode: Inode) -> Work {
        if state.agent.anew[usize::from(inode)] {
            remove(state, inode);
        }
        if inode + 1 < self.bounds.inodes {
            return Work::Delete(inode + 1);
        }
        self.deleted(state)
    }

    fn deleted(&self, state: &State) -> Work {
        if self.keeps(Rule::WaitBeforePurge) {
            Work::BeginWait
        } else {
            self.purge(state, 0)
        }
    }

    /// Entries are taken out only while nothing is watched: nobody could tell a stale one from its
    /// successor.
    pub(crate) fn purge(&self, state: &State, slot: Slot) -> Work {
        let is_safe = state.watched == [None; INODES] || !self.keeps(Rule::PurgeOnlyUnwatched);
        if usize::from(slot) < SLOTS && is_safe && self.keeps(Rule::PurgeBeforeInsert) {
            Work::PurgeRead(slot)
        } else {
            Work::Insert(0)
        }
    }

    pub(crate) fn purge_read(&self, state: &State, slot: Slot) -> Work {
        let is_stale = |inode: Inode| state.watched[usize::from(inode)].is_none();
        if state.entries[usize::from(slot)].is_some_and(is_stale) {
            return Work::PurgeDelete(slot);
        }
        self.purge(state, slot + 1)
    }

    pub(crate) fn insert_inode(&self, state: &mut State, inode: Inode) -> Work {
        if state.agent.anew[usize::from(inode)] && state.is_held(inode) {
            state.watched[usize::from(inode)] = Some(0);
            for_each_pointer(state, |pointer| {
                if pointer.memory == Memory::Deleted {
                    pointer.memory = Memory::Reused;
                }
            });
        }
        if inode + 1 < self.bounds.inodes {
            return Work::Insert(inode + 1);
        }
        self.entered(state)
    }

    fn entered(&self, state: &mut State) -> Work {
        if !self.keeps(Rule::SeedAfterAttach) {
            return Work::Visit(0);
        }
        self.attached(state)
    }

    /// The next program to attach, or what comes after both.
    pub(crate) fn attached(&self, state: &mut State) -> Work {
        let births = state.births & own(state) != 0;
        let deaths = state.deaths & own(state) != 0;
        match (births, deaths) {
            (true, true) if !state.counts && self.keeps(Rule::ToldOnceAttached) => Work::Announce,
            (true, true) if !self.keeps(Rule::SeedAfterAttach) => self.seeded(state),
            (true, true) if state.agent.generation > 0 && !self.keeps(Rule::SeedAfterStart) => {
                self.seeded(state)
            }
            (true, true) => Work::Visit(0),
            (false, false) if self.keeps(Rule::DeathsAttachedFirst) => Work::AttachDeaths,
            (false, _) => Work::AttachBirths,
            (true, false) => Work::AttachDeaths,
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

    /// The iterator lets go of a file: it may be the last to hold it.
    pub(crate) fn leave(&self, state: &mut State, slot: Slot) -> Work {
        state.file_mut(slot).held = false;
        state.cpus[AGENT].at = put(state, slot);
        self.visited(state, slot)
    }

    fn visited(&self, state: &mut State, slot: Slot) -> Work {
        if usize::from(slot) + 1 < SLOTS {
            return Work::Visit(slot + 1);
        }
        if state.deaths & own(state) == 0 {
            return self.attached(state);
        }
        self.seeded(state)
    }

    fn seeded(&self, state: &mut State) -> Work {
        state.agent.anew = [false; INODES];
        if state.agent.unsure.contains(&true) {
            return Work::Compare(0);
        }
        self.right(state)
    }

    /// Opens the inode to ask the kernel how many files it knows.
    pub(crate) fn compare(&self, state: &mut State, inode: Inode) -> Work {
        if inode == self.bounds.inodes {
            return match state.agent.anew.contains(&true) {
                true if self.keeps(Rule::PurgeOnlyUnwatched) => self.begin_anew(state),
                true => Work::Delete(0),
                false => self.right(state),
            };
        }
        if !std::mem::take(&mut state.agent.unsure[usize::from(inode)]) || !state.is_held(inode) {
            return Work::Compare(inode + 1);
        }
        state.readers[usize::from(inode)] += 1;
        Work::Compared(inode)
    }

    /// A count that is above the kernel's, or below zero and so wrapped, begins anew.
    pub(crate) fn compared(&self, state: &mut State, inode: Inode) -> Work {
        close(state, inode);
        let index = usize::from(inode);
        let count = state.watched[index].unwrap_or(0).cast_unsigned();
        state.agent.anew[index] = count > state.readers[index];
        Work::Compare(inode + 1)
    }

    /// The counts are right.
    fn right(&self, state: &mut State) -> Work {
        if state.agent.stage == Stage::Records {
            return Work::ReadLosses;
        }
        if !self.keeps(Rule::LossNotedFirst) {
            state.agent.losses_seen = state.losses;
            state.agent.misses_seen = state.misses;
        }
        if self.keeps(Rule::LookAfterSeed) {
            state.agent.todo = [true; INODES];
        }
        Work::Look(0)
    }
}

/// Takes an inode out of `WATCHED`.
pub(crate) fn remove(state: &mut State, inode: Inode) {
    state.watched[usize::from(inode)] = None;
    for_each_pointer(state, |pointer| {
        if pointer.inode == inode && pointer.memory == Memory::Value {
            pointer.memory = Memory::Deleted;
        }
    });
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
