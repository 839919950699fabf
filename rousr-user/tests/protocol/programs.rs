//! The programs on the hooks, step by step.

use crate::{
    rules::{Protocol, Rule},
    state::{AGENT, Birth, Death, Fault, INODES, Inode, Memory, News, Place, Pointer, Slot, State},
    step::{Luck, Step},
    tasks::leave_program,
};

impl Protocol {
    pub(crate) fn birth_steps(&self, state: &State, cpu: usize, at: Birth, steps: &mut Vec<Step>) {
        match at {
            Birth::Check => self.check_steps(state, cpu, steps),
            Birth::Insert(_) => {
                steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::Good));
                if state.left.full_maps > 0 {
                    steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::MapFull));
                }
            }
            Birth::Add(pointer) => reach(state, cpu, pointer, steps),
            Birth::Wake => steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::Good)),
        }
    }

    pub(crate) fn death_steps(&self, state: &State, cpu: usize, at: Death, steps: &mut Vec<Step>) {
        match at {
            Death::Check => self.check_steps(state, cpu, steps),
            Death::Subtract(pointer) => reach(state, cpu, pointer, steps),
            Death::Remove(_)
            | Death::Uncounted(_)
            | Death::Send(..)
            | Death::Lose
            | Death::Wake => {
                steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::Good));
            }
        }
    }

    /// A program begins, or is skipped where the LSM is not active.
    fn check_steps(&self, state: &State, cpu: usize, steps: &mut Vec<Step>) {
        steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::Good));
        if state.left.skips > 0 {
            steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::Skipped));
        }
    }

    pub(crate) fn program_step(&self, state: &mut State, cpu: usize, luck: Luck) {
        if luck == Luck::Skipped {
            state.left.skips -= 1;
            state.misses += 1;
            return leave_program(state, cpu);
        }
        let next = match state.cpus[cpu].at {
            Place::Birth(slot, at) => self
                .birth_step(state, slot, at, luck)
                .map(|at| Place::Birth(slot, at)),
            Place::Death(slot, at) => self
                .death_step(state, cpu, slot, at, luck)
                .map(|at| Place::Death(slot, at)),
            _ => unreachable!("no program runs here"),
        };
        match next {
            Some(at) => state.cpus[cpu].at = at,
            None => leave_program(state, cpu),
        }
    }

    fn birth_step(&self, state: &mut State, slot: Slot, at: Birth, luck: Luck) -> Option<Birth> {
        let inode = state.file(slot).inode;
        match at {
            Birth::Check => Some(Birth::Insert(state.pointer(inode)?)),
            Birth::Insert(_) if luck == Luck::MapFull => {
                state.left.full_maps -= 1;
                state.losses += 1;
                // A stale entry has gone before.
                state.entries[usize::from(slot)].take_if(|entry| *entry != inode);
                self.keeps(Rule::SendAfterLoss).then_some(Birth::Wake)
            }
            Birth::Insert(pointer) => self
                .insert(state, slot, inode)
                .then_some(Birth::Add(pointer)),
            Birth::Add(pointer) => {
                if let Some(count) = value(state, pointer, luck) {
                    *count += 1;
                }
                None
            }
            Birth::Wake => {
                self.send(state, inode, News::Nothing);
                None
            }
        }
    }

    /// Enters a file into `FILES`. Tells whether it has to be counted.
    pub(crate) fn insert(&self, state: &mut State, slot: Slot, inode: Inode) -> bool {
        let entry = &mut state.entries[usize::from(slot)];
        let is_own = *entry == Some(inode) && self.keeps(Rule::EachFileOnce);
        let is_stale = entry.is_some() && *entry != Some(inode);
        if is_own || is_stale && !self.keeps(Rule::StaleEntryReplaced) {
            return false;
        }
        *entry = Some(inode);
        true
    }

    fn death_step(
        &self,
        state: &mut State,
        cpu: usize,
        slot: Slot,
        at: Death,
        luck: Luck,
    ) -> Option<Death> {
        match at {
            Death::Check => self.check_death(state, slot),
            Death::Remove(pointer) => self.remove(state, cpu, slot, pointer),
            Death::Uncounted(inode) => self.uncounted(state, inode),
            Death::Subtract(pointer) => self.subtract(state, pointer, luck),
            Death::Send(inode, news) => (!self.send(state, inode, news)).then_some(Death::Lose),
            Death::Lose => {
                state.losses += 1;
                self.keeps(Rule::SendAfterLoss).then_some(Death::Wake)
            }
            Death::Wake => {
                self.send(state, state.file(slot).inode, News::Nothing);
                None
            }
        }
    }

    fn check_death(&self, state: &State, slot: Slot) -> Option<Death> {
        let file = state.file(slot);
        if file.cleared && !self.keeps(Rule::FailedOpenFound) {
            return None;
        }
        let pointer = state.pointer(file.inode)?;
        if !file.path {
            return Some(Death::Remove(pointer));
        }
        let told = state.watched[usize::from(file.inode)] == Some(0);
        (told && self.keeps(Rule::PathDeathTold)).then_some(Death::Send(file.inode, News::Counted))
    }

    fn remove(&self, state: &mut State, cpu: usize, slot: Slot, pointer: Pointer) -> Option<Death> {
        if state.entries[usize::from(slot)].take().is_some() {
            return Some(Death::Subtract(pointer));
        }
        if cpu == AGENT {
            // The agent's own files are never counted.
            return None;
        }
        if !self.keeps(Rule::OnlyFoundTakenOff) {
            return Some(Death::Subtract(pointer));
        }
        Some(Death::Uncounted(pointer.inode))
    }

    fn uncounted(&self, state: &State, inode: Inode) -> Option<Death> {
        let news = if self.keeps(Rule::UncountedDoubted) {
            News::Doubtful
        } else {
            News::Counted
        };
        (state.counts && self.keeps(Rule::UncountedDeathTold)).then_some(Death::Send(inode, news))
    }

    fn subtract(&self, state: &mut State, pointer: Pointer, luck: Luck) -> Option<Death> {
        let inode = pointer.inode;
        let count = value(state, pointer, luck)?;
        *count -= 1;
        let count = *count;
        // Where programs are skipped, that is one of the errors that the answer to it mends.
        if count < 0 && self.bounds.left.skips == 0 {
            state.fault = state.fault.or(Some(Fault::BelowZero));
        }
        if count == 0 {
            return Some(Death::Send(inode, News::Counted));
        }
        let told = state.readers[usize::from(inode)] == 0 && self.keeps(Rule::KernelZeroTold);
        told.then_some(Death::Send(inode, News::Doubtful))
    }

    /// Puts a record into the ring. Tells whether there was room.
    fn send(&self, state: &mut State, inode: Inode, news: News) -> bool {
        if state.records == self.bounds.ring {
            return false;
        }
        state.records += 1;
        let told = &mut state.news[usize::from(inode)];
        *told = news.max(*told);
        true
    }
}

/// Where a pointer may lead by now.
fn reach(state: &State, cpu: usize, pointer: Pointer, steps: &mut Vec<Step>) {
    steps.push(Step::Program(cpu, state.cpus[cpu].at, Luck::Good));
    if pointer.memory == Memory::Reused {
        let others =
            (0..INODES as Inode).filter(|&inode| state.watched[usize::from(inode)].is_some());
        steps.extend(
            others.map(|inode| Step::Program(cpu, state.cpus[cpu].at, Luck::Elsewhere(inode))),
        );
    }
}

fn value(state: &mut State, pointer: Pointer, luck: Luck) -> Option<&mut i8> {
    let inode = match (pointer.memory, luck) {
        (Memory::Value, _) => pointer.inode,
        (_, Luck::Elsewhere(inode)) => inode,
        _ => return None,
    };
    state.watched[usize::from(inode)].as_mut()
}
