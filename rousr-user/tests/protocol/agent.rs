//! The agent, step by step.

use crate::{
    look::close,
    rules::{Protocol, Rule},
    state::{AGENT, INODES, Inode, News, Place, Stage, State, Work},
    step::Step,
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
            Work::Wait => self.waiting_steps(state, steps),
            Work::EndWait | Work::EndStart if state.cpus.iter().any(|cpu| cpu.awaited) => {}
            _ => steps.push(Step::Agent(at)),
        }
        if self.can_be_killed(state) {
            steps.push(Step::Kill);
        }
    }

    fn can_be_killed(&self, state: &State) -> bool {
        let at = state.agent.at;
        state.left.kills > 0
            && !matches!(at, Work::Replace | Work::Leave(_))
            && self.bounds.killed_at.is_none_or(|work| work == at)
    }

    fn waiting_steps(&self, state: &State, steps: &mut Vec<Step>) {
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

    /// The agent wakes up without a record.
    pub(crate) fn is_timer_set(&self, state: &State) -> bool {
        let missed = state.misses != state.agent.misses_seen;
        missed && self.keeps(Rule::MissesOnTimer) || state.agent.armed.contains(&true)
    }

    pub(crate) fn wake(state: &mut State) {
        for inode in 0..INODES {
            let doubtful = state.news[inode] == News::Doubtful && state.watched[inode] != Some(0);
            state.agent.unsure[inode] = doubtful;
            state.agent.todo[inode] = state.news[inode] != News::Nothing;
        }
        state.news = [News::Nothing; INODES];
        state.records = 0;
        state.agent.stage = Stage::Records;
        state.agent.at = Work::Compare(0);
    }

    pub(crate) fn timer(state: &mut State) {
        state.agent.todo = state.agent.armed;
        state.agent.stage = Stage::Records;
        state.agent.at = Work::ReadLosses;
    }

    /// dpkg has replaced one more file.
    pub(crate) fn watch(&self, state: &mut State) {
        state.left.watches -= 1;
        state.named = [false; INODES];
        state.agent.at = self.enter_held(state);
    }

    /// The hold's inode has another name: the hold goes though it may be in use.
    pub(crate) fn unwatch(state: &mut State, inode: Inode) {
        state.left.unwatches -= 1;
        state.agent.stage = Stage::Records;
        state.agent.at = forget(state, inode);
    }

    /// The kernel closes what the agent had open. What is pinned stays.
    pub(crate) fn kill(state: &mut State) {
        state.left.kills -= 1;
        if let Some(inode) = state.probed() {
            close(state, inode);
        }
        match state.agent.at {
            Work::PinDeaths => state.deaths &= !own(state),
            Work::PinBirths => state.births &= !own(state),
            _ => {}
        }
        state.agent.todo = [false; INODES];
        state.agent.armed = [false; INODES];
        state.agent.anew = [false; INODES];
        state.agent.unsure = [false; INODES];
        state.agent.littered = false;
        state.agent.at = Work::Dead;
    }

    pub(crate) fn start(&self, state: &mut State) {
        state.agent.generation = 1;
        state.counts = false;
        state.agent.losses_seen = state.losses;
        state.agent.misses_seen = state.misses;
        if !self.keeps(Rule::OldDroppedLast) {
            (state.births, state.deaths) = (0, 0);
        }
        state.agent.at = if self.inodes().any(|inode| state.is_held(inode)) {
            Work::BeginStart
        } else {
            state.watched = [None; INODES];
            Work::Withdraw
        };
    }

    pub(crate) fn work(&self, state: &mut State, work: Work) {
        state.agent.at = match work {
            Work::Replace => {
                state.named = [false, state.left.watches > 0];
                self.enter_held(state)
            }
            Work::Delete(inode) => self.delete(state, inode),
            Work::BeginStart => {
                begin_wait(state);
                Work::EndStart
            }
            Work::EndStart => self.enter_held(state),
            Work::BeginWait => {
                begin_wait(state);
                Work::EndWait
            }
            Work::EndWait => self.purge(state, 0),
            Work::PurgeRead(slot) => self.purge_read(state, slot),
            Work::PurgeDelete(slot) => {
                state.entries[usize::from(slot)] = None;
                self.purge(state, slot + 1)
            }
            Work::Insert(inode) => self.insert_inode(state, inode),
            Work::AttachDeaths => {
                state.deaths |= own(state);
                Work::PinDeaths
            }
            Work::PinDeaths => {
                state.deaths = own(state);
                self.attached(state)
            }
            Work::AttachBirths => {
                state.births |= own(state);
                Work::PinBirths
            }
            Work::PinBirths => {
                state.births = own(state);
                self.attached(state)
            }
            Work::Announce => self.announce(state),
            Work::Visit(slot) => self.visit(state, slot),
            Work::Leave(slot) => self.leave(state, slot),
            Work::Compare(inode) => self.compare(state, inode),
            Work::Compared(inode) => self.compared(state, inode),
            Work::ReadLosses => self.read_losses(state),
            Work::Look(inode) => self.look(state, inode),
            Work::Explain(inode) => Self::explain(state, inode),
            Work::Lease(inode) => self.lease(state, inode),
            Work::Refused(inode) => {
                close(state, inode);
                Work::Look(inode + 1)
            }
            Work::Granted(inode) => {
                close(state, inode);
                Work::Unlink(inode)
            }
            Work::Unlink(inode) => Self::unlink(state, inode),
            Work::Withdraw => {
                state.counts = false;
                Work::DetachBirths
            }
            Work::DetachBirths => {
                state.births = 0;
                Work::DetachDeaths
            }
            Work::DetachDeaths => {
                state.deaths = 0;
                Work::Done
            }
            Work::Wait | Work::Dead | Work::Done => unreachable!("the agent does nothing here"),
        };
    }

    fn announce(&self, state: &mut State) -> Work {
        state.counts = true;
        if self.keeps(Rule::ToldOnceAttached) {
            self.attached(state)
        } else {
            Work::Wait
        }
    }

    fn read_losses(&self, state: &mut State) -> Work {
        let agent = &mut state.agent;
        let lost = agent.losses_seen != state.losses;
        let skipped = agent.misses_seen != state.misses;
        if !lost && !skipped {
            return Work::Look(0);
        }
        if self.keeps(Rule::LossNotedFirst) {
            (agent.losses_seen, agent.misses_seen) = (state.losses, state.misses);
        }
        agent.stage = Stage::All;
        let watched = state.watched.map(|count| count.is_some());
        if skipped && self.keeps(Rule::AnewAfterSkip) {
            return self.begin_anew(state);
        }
        state.agent.unsure = watched;
        Work::Visit(0)
    }
}

fn begin_wait(state: &mut State) {
    for cpu in &mut state.cpus {
        cpu.awaited = cpu.at.is_in_hook();
    }
}

/// A hold is gone.
pub(crate) fn forget(state: &mut State, inode: Inode) -> Work {
    state.reaped[usize::from(inode)] = true;
    state.agent.littered |= state.watched[usize::from(inode)] != Some(0);
    crate::watch::remove(state, inode);
    if state.watched == [None; INODES] {
        Work::Withdraw
    } else {
        Work::Look(inode)
    }
}

/// The bit of the agent's own programs.
pub(crate) fn own(state: &State) -> u8 {
    1 << state.agent.generation
}
