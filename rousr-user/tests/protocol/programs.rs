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
        }
    }

    pub(crate) fn death_steps(&self, state: &State, cpu: usize, at: Death, steps: &mut Vec<Step>) {
        match at {
            Death::Check => self.check_steps(state, cpu, steps),
            Death::Subtract(pointer) => reach(state, cpu, pointer, steps),
            Death::Remove(_)
            | Death::Send { .. }
            | Death::Lose { .. }
            | Death::SendAgain { .. } => {
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
                None
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
        }
    }

    /// Enters a file into `FILES`. Tells whether it has to be counted.
    pub(crate) fn insert(&self, state: &mut State, slot: Slot, inode: Inode) -> bool {
        let entry = &mut state.entries[usize::from(slot)];
        if entry.is_some() && self.keeps(Rule::EachFileOnce) {
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
            Death::Subtract(pointer) => self.subtract(state, slot, pointer, luck),
            Death::Send { inode, certain } => {
                if send(state, self.bounds.ring, inode, certain) {
                    None
                } else {
                    Some(Death::Lose { inode })
                }
            }
            Death::Lose { inode } => {
                state.losses += 1;
                self.keeps(Rule::SendAfterLoss)
                    .then_some(Death::SendAgain { inode })
            }
            Death::SendAgain { inode } => {
                send(state, self.bounds.ring, inode, true);
                None
            }
        }
    }

    fn check_death(&self, state: &State, slot: Slot) -> Option<Death> {
        let file = state.file(slot);
        let inode = if !file.cleared {
            file.inode
        } else {
            if !self.keeps(Rule::FailedOpenByAddress) {
                return None;
            }
            match state.entries[usize::from(slot)] {
                Some(inode) => inode,
                None if self.keeps(Rule::FailedOpenByMapping) => file.inode,
                None => return None,
            }
        };
        let pointer = state.pointer(inode)?;
        if !file.path {
            return Some(Death::Remove(pointer));
        }
        let told = self.keeps(Rule::PathDeathTold) && state.watched[usize::from(inode)] == Some(0);
        told.then_some(Death::Send {
            inode,
            certain: false,
        })
    }

    fn remove(&self, state: &mut State, cpu: usize, slot: Slot, pointer: Pointer) -> Option<Death> {
        let uncounted = self.keeps(Rule::UncountedDeathTold).then_some(Death::Send {
            inode: pointer.inode,
            certain: true,
        });
        match state.entries[usize::from(slot)].take() {
            Some(stored) if stored != pointer.inode && self.keeps(Rule::StoredInodeTakenOff) => {
                state.pointer(stored).map(Death::Subtract).or(uncounted)
            }
            Some(_) => Some(Death::Subtract(pointer)),
            // The agent's own files are never counted.
            None if cpu == AGENT => None,
            None if !self.keeps(Rule::OnlyFoundTakenOff) => Some(Death::Subtract(pointer)),
            None => uncounted,
        }
    }

    fn subtract(
        &self,
        state: &mut State,
        slot: Slot,
        pointer: Pointer,
        luck: Luck,
    ) -> Option<Death> {
        let inode = pointer.inode;
        let file = *state.file(slot);
        let count = value(state, pointer, luck)?;
        *count -= 1;
        let count = *count;
        if count < 0 {
            state.fault = state.fault.or(Some(Fault::BelowZero));
        }
        if file.inode != inode {
            // Its own inode has lost a file that was not counted.
            return Some(Death::Send {
                inode: file.inode,
                certain: true,
            });
        }
        if count == 0 {
            return Some(Death::Send {
                inode,
                certain: false,
            });
        }
        let own = state.is_probed(inode) && self.keeps(Rule::OwnProbeLeftOut);
        let kernel_zero = state.readers[usize::from(inode)] == u8::from(own);
        let certain = self.keeps(Rule::KernelZeroTold) && kernel_zero;
        certain.then_some(Death::Send { inode, certain })
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

/// Puts a record into the ring. Tells whether there was room.
fn send(state: &mut State, ring: u8, inode: Inode, certain: bool) -> bool {
    if state.records == ring {
        return false;
    }
    state.records += 1;
    let news = &mut state.news[usize::from(inode)];
    *news = if certain || *news == News::Certain {
        News::Certain
    } else {
        News::Counted
    };
    true
}
