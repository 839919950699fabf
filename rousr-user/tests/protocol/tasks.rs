//! What tasks do: open, close, pass on. The kernel's own steps up to a hook and after it.

use crate::{
    rules::Protocol,
    state::{AGENT, Birth, CPUS, Cpu, Death, File, Inode, Place, SLOTS, Slot, State},
    step::{Deed, Step},
};

impl Protocol {
    pub(crate) fn task_steps(&self, state: &State, steps: &mut Vec<Step>) {
        for cpu in 0..CPUS {
            match state.cpus[cpu].at {
                Place::User if cpu == AGENT => {}
                Place::User => self.deeds(state, cpu, steps),
                Place::Found { .. } => {
                    if state.files.iter().any(|file| !file.live) {
                        steps.push(Step::Task(cpu, Deed::Open));
                    }
                    if state.left.lookups > 0 {
                        steps.push(Step::Task(cpu, Deed::FailEarly));
                    }
                }
                Place::Raised(slot) => {
                    steps.push(Step::Task(cpu, Deed::EnterBirth(slot)));
                    if state.left.failures > 0 {
                        steps.push(Step::Task(cpu, Deed::Fail(slot)));
                    }
                }
                Place::Opened(slot) => {
                    steps.push(Step::Task(cpu, Deed::Install(slot)));
                    if state.left.failures > 0 {
                        steps.push(Step::Task(cpu, Deed::Fail(slot)));
                    }
                }
                Place::Last(slot) => steps.push(Step::Task(cpu, Deed::Lower(slot))),
                Place::Lowered(slot) => steps.push(Step::Task(cpu, Deed::EnterDeath(slot))),
                Place::Birth(_, at) => self.birth_steps(state, cpu, at, steps),
                Place::Death(_, at) => self.death_steps(state, cpu, at, steps),
            }
        }
    }

    /// What a task in user space can begin.
    fn deeds(&self, state: &State, cpu: usize, steps: &mut Vec<Step>) {
        for inode in self.inodes().filter(|&inode| is_reachable(state, inode)) {
            if state.left.opens > 0 {
                steps.push(Step::Task(cpu, Deed::Find { inode, path: false }));
            }
            if state.left.path_opens > 0 {
                steps.push(Step::Task(cpu, Deed::Find { inode, path: true }));
            }
        }
        for slot in 0..SLOTS as Slot {
            let file = state.file(slot);
            if file.table {
                steps.push(Step::Task(cpu, Deed::Close(slot)));
                if state.left.sends > 0 {
                    steps.push(Step::Task(cpu, Deed::Send(slot)));
                }
            }
            if file.flight {
                steps.push(Step::Task(cpu, Deed::Receive(slot)));
                steps.push(Step::Task(cpu, Deed::Drop(slot)));
            }
        }
    }

    pub(crate) fn task_step(&self, state: &mut State, cpu: usize, deed: Deed) {
        let at = match deed {
            Deed::Find { inode, path } => {
                if path {
                    state.left.path_opens -= 1;
                } else {
                    state.left.opens -= 1;
                }
                Place::Found { inode, path }
            }
            Deed::FailEarly => {
                state.left.lookups -= 1;
                Place::User
            }
            Deed::Open => open(state, cpu),
            Deed::EnterBirth(slot) => {
                let queue = state.births;
                state.cpus[cpu].queue = queue;
                if queue == 0 {
                    Place::Opened(slot)
                } else {
                    Place::Birth(slot, Birth::Check)
                }
            }
            Deed::Install(slot) => {
                state.file_mut(slot).table = true;
                Place::User
            }
            Deed::Fail(slot) => {
                state.left.failures -= 1;
                state.file_mut(slot).cleared = true;
                lower(state, slot)
            }
            Deed::Close(slot) => {
                state.file_mut(slot).table = false;
                put(state, slot)
            }
            Deed::Send(slot) => {
                state.left.sends -= 1;
                let file = state.file_mut(slot);
                (file.table, file.flight) = (false, true);
                Place::User
            }
            Deed::Receive(slot) => {
                let file = state.file_mut(slot);
                (file.table, file.flight) = (true, false);
                Place::User
            }
            Deed::Drop(slot) => {
                state.file_mut(slot).flight = false;
                put(state, slot)
            }
            Deed::Lower(slot) => lower(state, slot),
            Deed::EnterDeath(slot) => {
                let queue = state.deaths;
                state.cpus[cpu].queue = queue;
                if queue == 0 {
                    free(state, slot)
                } else {
                    Place::Death(slot, Death::Check)
                }
            }
        };
        state.cpus[cpu].at = at;
    }
}

/// By its name, or through /proc by a descriptor of somebody.
fn is_reachable(state: &State, inode: Inode) -> bool {
    state.named[usize::from(inode)]
        || state
            .files
            .iter()
            .any(|file| file.table && file.inode == inode)
}

/// Memory is taken and, but for `O_PATH`, the kernel's counter goes up.
fn open(state: &mut State, cpu: usize) -> Place {
    let (Place::Found { inode, path }, Some(slot)) = (
        state.cpus[cpu].at,
        state.files.iter().position(|file| !file.live),
    ) else {
        unreachable!("only a found path is opened, and only with memory left")
    };
    state.files[slot] = File {
        live: true,
        inode,
        path,
        table: path,
        ..File::default()
    };
    if path {
        return Place::User;
    }
    state.readers[usize::from(inode)] += 1;
    Place::Raised(slot as Slot)
}

/// Lets go of a reference: the last one ends the file.
pub(crate) fn put(state: &State, slot: Slot) -> Place {
    let file = state.file(slot);
    if file.table || file.flight || file.held {
        Place::User
    } else {
        Place::Last(slot)
    }
}

/// The kernel's counter goes down, dentry and mount are let go.
fn lower(state: &mut State, slot: Slot) -> Place {
    let file = state.file_mut(slot);
    file.gone = true;
    let (inode, path) = (usize::from(file.inode), file.path);
    if !path {
        state.readers[inode] -= 1;
    }
    Place::Lowered(slot)
}

/// The memory may be used again.
pub(crate) fn free(state: &mut State, slot: Slot) -> Place {
    *state.file_mut(slot) = File::default();
    Place::User
}

/// The next program of the hook, or the kernel's step after the hook.
pub(crate) fn leave_program(state: &mut State, cpu: usize) {
    let Cpu { at, queue, .. } = state.cpus[cpu];
    let queue = queue & (queue - 1);
    let at = match at {
        Place::Birth(slot, _) if queue > 0 => Place::Birth(slot, Birth::Check),
        Place::Death(slot, _) if queue > 0 => Place::Death(slot, Death::Check),
        Place::Birth(slot, _) => Place::Opened(slot),
        Place::Death(slot, _) => free(state, slot),
        _ => unreachable!("only a program is left"),
    };
    let awaited = state.cpus[cpu].awaited && queue > 0;
    state.cpus[cpu] = Cpu { at, queue, awaited };
}
