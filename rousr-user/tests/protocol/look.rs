//! How the agent decides on a hold: the count, the lease, the references, the unlink.

use crate::{
    rules::{Protocol, Rule},
    state::{Aim, Fault, INODES, Inode, News, State, Work},
};

impl Protocol {
    pub(crate) fn look(&self, state: &mut State, inode: Inode) -> Work {
        if inode == self.bounds.inodes {
            state.agent.todo = [News::Nothing; INODES];
            return Work::Wait;
        }
        let index = usize::from(inode);
        let news = std::mem::take(&mut state.agent.todo[index]);
        if news == News::Nothing || !state.is_held(inode) {
            return Work::Look(inode + 1);
        }
        state.agent.armed[index] = false;
        if news == News::Counted && state.watched[index] != Some(0) {
            return Work::Look(inode + 1);
        }
        state.readers[index] += 1;
        Work::Lease(inode)
    }

    pub(crate) fn lease(&self, state: &mut State, inode: Inode) -> Work {
        // The one reader is the agent's own descriptor.
        if state.readers[usize::from(inode)] == 1 {
            return Work::Granted(inode);
        }
        self.arm(state, inode);
        Work::Refused(inode)
    }

    pub(crate) fn granted(&self, state: &mut State, inode: Inode) -> Work {
        close(state, inode);
        if self.keeps(Rule::ReferencesAsked) {
            Work::References(inode)
        } else {
            Work::Unlink(inode)
        }
    }

    pub(crate) fn references(&self, state: &mut State, inode: Inode) -> Work {
        if state.is_unused(inode) {
            return Work::Unlink(inode);
        }
        self.arm(state, inode);
        Work::Look(inode + 1)
    }

    pub(crate) fn unlink(&self, state: &mut State, inode: Inode) -> Work {
        if !state.is_unused(inode) {
            state.fault = state.fault.or(Some(Fault::Premature));
        }
        self.leave(state, inode)
    }

    /// A hold is gone.
    pub(crate) fn leave(&self, state: &mut State, inode: Inode) -> Work {
        state.reaped[usize::from(inode)] = true;
        if !self.inodes().any(|inode| state.is_held(inode)) {
            state.agent.aim = Aim::End;
            return Work::Delete(0);
        }
        state.agent.aim = Aim::Unwatch(inode);
        // A hook may be about to take the last file off.
        let in_use = state.watched[usize::from(inode)] != Some(0);
        if in_use && self.keeps(Rule::PurgeOnlyUnwatched) {
            Work::BeginWait
        } else {
            Work::Delete(0)
        }
    }

    /// Nobody may be going to tell when the inode is left.
    fn arm(&self, state: &mut State, inode: Inode) {
        let inode = usize::from(inode);
        state.agent.armed[inode] =
            self.keeps(Rule::LookedAtAgain) && state.watched[inode] == Some(0);
    }
}

/// The agent closes the descriptor of its lease.
pub(crate) fn close(state: &mut State, inode: Inode) {
    state.readers[usize::from(inode)] -= 1;
}
