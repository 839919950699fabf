//! How the agent decides on a hold: the count, the references, the lease, the unlink.

use crate::{
    agent::forget,
    rules::{Protocol, Rule},
    state::{Fault, Inode, State, Work},
};

impl Protocol {
    /// Opens the hold of an inode that nobody is known to use; the program on that open tells the
    /// references.
    pub(crate) fn look(&self, state: &mut State, inode: Inode) -> Work {
        if inode == self.bounds.inodes {
            return self.looked(state);
        }
        let index = usize::from(inode);
        let asked = std::mem::take(&mut state.agent.todo[index]);
        if !asked || !state.is_held(inode) {
            return Work::Look(inode + 1);
        }
        state.agent.armed[index] = false;
        if state.watched[index] != Some(0) {
            return Work::Look(inode + 1);
        }
        let asked = self.keeps(Rule::ReferencesAsked);
        state.agent.references = if asked { state.references(inode) } else { 0 };
        state.readers[index] += 1;
        if self.keeps(Rule::NothingExplained) {
            Work::Lease(inode)
        } else {
            Work::Explain(inode)
        }
    }

    fn looked(&self, state: &mut State) -> Work {
        if state.agent.littered && self.keeps(Rule::PurgeOnlyUnwatched) {
            return self.begin_anew(state);
        }
        if state.counts {
            Work::Wait
        } else {
            Work::Announce
        }
    }

    /// Takes the kernel's readers for the explanation of references that were read before.
    pub(crate) fn explain(state: &mut State, inode: Inode) -> Work {
        let others = state.readers[usize::from(inode)] - 1;
        state.agent.references = state.agent.references.saturating_sub(others);
        Work::Lease(inode)
    }

    pub(crate) fn lease(&self, state: &mut State, inode: Inode) -> Work {
        // The one reader is the agent's own descriptor.
        let index = usize::from(inode);
        if state.readers[index] == 1 && state.agent.references == 0 {
            return Work::Granted(inode);
        }
        state.agent.references = 0;
        // Nobody may be going to tell when the inode is left.
        state.agent.armed[index] =
            self.keeps(Rule::LookedAtAgain) && state.watched[index] == Some(0);
        Work::Refused(inode)
    }

    pub(crate) fn unlink(state: &mut State, inode: Inode) -> Work {
        if !state.is_unused(inode) {
            state.fault = state.fault.or(Some(Fault::Premature));
        }
        forget(state, inode)
    }
}

/// The agent closes the descriptor it has probed with.
pub(crate) fn close(state: &mut State, inode: Inode) {
    state.readers[usize::from(inode)] -= 1;
}
