//! What is true of a moment.

use std::fmt;

use crate::{
    state::{Cpu, File, INODES, Inode, Place, SLOTS, State, Work},
    step::name,
};

impl State {
    /// Nothing but the agent's own descriptor leads to the inode.
    pub(crate) fn is_unused(&self, inode: Inode) -> bool {
        let by_file = |file: &File| file.live && !file.gone && file.inode == inode;
        let by_lookup =
            |cpu: &Cpu| matches!(cpu.at, Place::Found { inode: found, .. } if found == inode);
        !self.files.iter().any(by_file) && !self.cpus.iter().any(by_lookup)
    }

    /// Nothing is under way and nobody is going to wake the agent.
    pub(crate) fn is_quiet(&self) -> bool {
        self.cpus.iter().all(|cpu| cpu.at == Place::User)
            && matches!(self.agent.at, Work::Wait | Work::Done)
            && self.records == 0
    }

    /// And every loss was answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_quiet()
            && self.losses == self.agent.losses_seen
            && self.misses == self.agent.misses_seen
    }

    /// Nothing is left of the counting: the next hold finds it as the first one did.
    pub(crate) fn is_clean(&self) -> bool {
        let runs = |cpu: &Cpu| cpu.at.is_in_hook();
        (self.births, self.deaths) == (0, 0)
            && self.watched == [None; INODES]
            && self.entries == [None; SLOTS]
            && !self.cpus.iter().any(runs)
    }

    /// The agent has a hold of the inode.
    pub(crate) fn is_held(&self, inode: Inode) -> bool {
        !self.named[usize::from(inode)] && !self.reaped[usize::from(inode)]
    }

    /// The agent has the inode open itself, for its lease.
    pub(crate) fn is_probed(&self, inode: Inode) -> bool {
        [
            Work::Lease(inode),
            Work::Refused(inode),
            Work::Granted(inode),
        ]
        .contains(&self.agent.at)
    }

    /// No address stands in `FILES` whose file is dead.
    pub(crate) fn entries_are_live(&self) -> bool {
        let mut both = self.entries.iter().zip(&self.files);
        both.all(|(entry, file)| entry.is_none() || file.live && *entry == Some(file.inode))
    }

    /// The count is that of the entries. With the files that were out of reach when the iterators
    /// came by it is the kernel's: every other file is counted.
    pub(crate) fn is_exact(&self, inode: Inode) -> bool {
        let Some(count) = self.watched[usize::from(inode)] else {
            return true;
        };
        let of_inode = |entry: &&Option<Inode>| **entry == Some(inode);
        let entered = self.entries.iter().filter(of_inode).count();
        let is_dark = |(entry, file): &(&Option<Inode>, &File)| {
            file.live && file.dark && file.inode == inode && entry.is_none()
        };
        let dark = self.entries.iter().zip(&self.files).filter(is_dark).count();
        let readers = usize::from(self.readers[usize::from(inode)]);
        usize::try_from(count) == Ok(entered) && entered + dark == readers
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for inode in 0..INODES {
            if let Some(count) = self.watched[inode] {
                let readers = self.readers[inode];
                write!(f, "{}: {count} of {readers}, ", name(inode as Inode))?;
            }
        }
        let entry = |entry: &Option<Inode>| entry.map_or('-', name);
        let entries: String = self.entries.iter().map(entry).collect();
        write!(
            f,
            "FILES {entries}, {} records, {} lost",
            self.records, self.losses
        )
    }
}
