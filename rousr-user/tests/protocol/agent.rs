//! The agent, step by step.

use crate::{
    look::close,
    rules::{Protocol, Rule},
    state::{AGENT, Aim, INODES, Inode, News, Place, State, Work},
    step::Step,
    tasks::put,
};

impl Protocol {
    pub(crate) fn agent_steps(&self, state: &State, steps: &mut Vec<Step>) {
        // While a file of its iterator dies in its context, it does nothing else.
        if state.cpus[AGENT].at != Place::User {
            return;
        }
        let at = state.agent.at;
        match at {
            Work::Done => {
                if state.left.watches > 0 {
                    steps.push(Step::Watch);
                }
                return;
            }
            Work::Dead => return steps.push(Step::Start),
            Work::Wait => {
                if state.records > 0 {
                    steps.push(Step::Wake);
                }
                if self.is_timer_set(state) {
                    steps.push(Step::Timer);
                }
                if state.left.unwatches > 0 {
                    let held = self.inodes().filter(|&inode| state.is_held(inode));
                    steps.extend(held.map(Step::Unwatch));
                }
                if state.left.watches > 0 {
                    steps.push(Step::Watch);
                }
            }
            Work::EndWait if state.cpus.iter().any(|cpu| cpu.awaited) => {}
            _ => steps.push(Step::Agent(at)),
        }
        if state.left.kills > 0 && !matches!(at, Work::Replace | Work::Leave(_)) {
            steps.push(Step::Kill);
        }
    }

    /// The agent wakes up without a record.
    pub(crate) fn is_timer_set(&self, state: &State) -> bool {
        let missed = state.misses != state.agent.misses_seen;
        missed && self.keeps(Rule::MissesOnTimer) || state.agent.armed.contains(&true)
    }

    pub(crate) fn wake(&self, state: &mut State) {
        for inode in self.inodes().map(usize::from) {
            if state.news[inode] != News::Nothing {
                state.agent.todo[inode] = state.news[inode];
            }
        }
        state.news = [News::Nothing; INODES];
        state.records = 0;
        state.agent.at = Work::ReadLosses;
    }

    pub(crate) fn timer(state: &mut State) {
        for (todo, armed) in state.agent.todo.iter_mut().zip(state.agent.armed) {
            if armed {
                *todo = News::Counted;
            }
        }
        state.agent.at = Work::ReadLosses;
    }

    /// dpkg has replaced one more file.
    pub(crate) fn watch(state: &mut State) {
        state.left.watches -= 1;
        state.named = [false; INODES];
        state.agent.at = Work::Insert(0);
    }

    pub(crate) fn unwatch(&self, state: &mut State, inode: Inode) {
        state.left.unwatches -= 1;
        state.agent.at = self.leave(state, inode);
        if state.agent.aim != Aim::End && self.keeps(Rule::PurgeOnlyUnwatched) {
            // A birth may stand between `FILES` and the count: zero says nothing.
            (state.agent.aim, state.agent.at) = (Aim::Rewatch, Work::Delete(0));
        }
    }

    fn read_losses(state: &mut State) -> Work {
        let agent = &mut state.agent;
        if (agent.losses_seen, agent.misses_seen) == (state.losses, state.misses) {
            return Work::Look(0);
        }
        (agent.losses_seen, agent.misses_seen) = (state.losses, state.misses);
        agent.aim = Aim::Rewatch;
        Work::Delete(0)
    }

    /// The kernel closes what the agent had open. What is pinned stays.
    pub(crate) fn kill(state: &mut State) {
        state.left.kills -= 1;
        match state.agent.at {
            Work::Lease(inode) | Work::Refused(inode) | Work::Granted(inode) => {
                close(state, inode);
            }
            Work::PinDeaths => state.deaths &= !own(state),
            Work::PinBirths => state.births &= !own(state),
            _ => {}
        }
        state.agent.todo = [News::Nothing; INODES];
        state.agent.armed = [false; INODES];
        state.agent.at = Work::Dead;
    }

    pub(crate) fn start(&self, state: &mut State) {
        state.agent.generation = 1;
        state.agent.losses_seen = state.losses;
        state.agent.misses_seen = state.misses;
        if !self.inodes().any(|inode| state.is_held(inode)) {
            (state.agent.aim, state.agent.at) = (Aim::End, Work::Delete(0));
            return;
        }
        state.agent.at = if self.keeps(Rule::OldDroppedLast) {
            self.first_program()
        } else {
            Work::DropOldBirths
        };
    }

    pub(crate) fn work(&self, state: &mut State, work: Work) {
        state.agent.at = match work {
            Work::Replace => {
                state.named = [false, state.left.watches > 0];
                Work::Insert(0)
            }
            Work::Insert(inode) => self.enter(state, inode),
            Work::AttachDeaths => {
                state.deaths |= own(state);
                Work::PinDeaths
            }
            Work::AttachBirths => {
                state.births |= own(state);
                Work::PinBirths
            }
            Work::PinDeaths if self.keeps(Rule::DeathsAttachedFirst) => Work::AttachBirths,
            Work::PinBirths if !self.keeps(Rule::DeathsAttachedFirst) => Work::AttachDeaths,
            Work::PinDeaths | Work::PinBirths if state.agent.generation > 0 => {
                if self.keeps(Rule::OldDroppedLast) {
                    Work::DropOldBirths
                } else {
                    self.take_over(state)
                }
            }
            Work::PinDeaths | Work::PinBirths if self.keeps(Rule::SeedAfterAttach) => {
                Work::Visit(0)
            }
            Work::PinDeaths | Work::PinBirths => self.seeded(state),
            Work::DropOldBirths => {
                state.births &= own(state);
                Work::DropOldDeaths
            }
            Work::DropOldDeaths => {
                state.deaths &= own(state);
                if self.keeps(Rule::OldDroppedLast) {
                    self.take_over(state)
                } else {
                    self.first_program()
                }
            }
            Work::Delete(inode) => self.delete(state, inode),
            Work::DetachBirths => {
                state.births = 0;
                Work::DetachDeaths
            }
            Work::DetachDeaths => {
                state.deaths = 0;
                self.deleted()
            }
            Work::BeginWait => {
                for cpu in &mut state.cpus {
                    cpu.awaited = cpu.at.is_in_hook();
                }
                Work::EndWait
            }
            Work::EndWait => self.waited(state),
            Work::PurgeRead(slot) => match state.entries[usize::from(slot)] {
                Some(inode) if state.agent.aim.covers(inode) => Work::PurgeDelete(slot),
                _ => self.purge(state, slot + 1),
            },
            Work::PurgeDelete(slot) => {
                state.entries[usize::from(slot)] = None;
                self.purge(state, slot + 1)
            }
            Work::Visit(slot) => self.visit(state, slot),
            Work::Leave(slot) => {
                state.file_mut(slot).held = false;
                state.cpus[AGENT].at = put(state, slot);
                self.visited(state, slot)
            }
            Work::ReadLosses => Self::read_losses(state),
            Work::Look(inode) => self.look(state, inode),
            Work::Lease(inode) => self.lease(state, inode),
            Work::Refused(inode) => {
                close(state, inode);
                Work::Look(inode + 1)
            }
            Work::Granted(inode) => self.granted(state, inode),
            Work::References(inode) => self.references(state, inode),
            Work::Unlink(inode) => self.unlink(state, inode),
            Work::Wait | Work::Dead | Work::Done => unreachable!("the agent does nothing here"),
        };
    }
}

/// The bit of the agent's own programs.
pub(crate) fn own(state: &State) -> u8 {
    1 << state.agent.generation
}
