//! What is true of a moment.

use std::fmt;

use crate::{
    state::{Cpu, File, INODES, Inode, Place, State, Work},
    step::name,
};

impl State {
    /// Nothing but the agent's own descriptor leads to the inode.
    pub(crate) fn is_unused(&self, inode: Inode) -> bool {
        self.references(inode) == 0
    }

    /// References to the inode's dentries that are not the agent's.
    pub(crate) fn references(&self, inode: Inode) -> u8 {
        let by_file = |file: &&File| file.live && !file.gone && file.inode == inode;
        let by_lookup =
            |cpu: &&Cpu| matches!(cpu.at, Place::Found { inode: found, .. } if found == inode);
        let files = self.files.iter().filter(by_file).count();
        let lookups = self.cpus.iter().filter(by_lookup).count();
        (files + lookups) as u8
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

    /// Nothing is attached and nothing watched.
    pub(crate) fn is_clean(&self) -> bool {
        (self.births, self.deaths) == (0, 0) && self.watched == [None; INODES]
    }

    /// The agent has a hold of the inode.
    pub(crate) fn is_held(&self, inode: Inode) -> bool {
        !self.named[usize::from(inode)] && !self.reaped[usize::from(inode)]
    }

    /// The inode that the agent has open itself.
    pub(crate) fn probed(&self) -> Option<Inode> {
        match self.agent.at {
            Work::Compared(inode)
            | Work::Explain(inode)
            | Work::Lease(inode)
            | Work::Refused(inode)
            | Work::Granted(inode) => Some(inode),
            _ => None,
        }
    }

    /// No file that is entered for a watched inode is dead.
    pub(crate) fn entries_are_live(&self) -> bool {
        let mut both = self.entries.iter().zip(&self.files);
        both.all(|(entry, file)| {
            let is_watched = |inode| self.pointer(inode).is_some();
            !entry.is_some_and(is_watched) || file.live && *entry == Some(file.inode)
        })
    }

    /// The count is not below the files that tasks show, and not above those that the kernel knows.
    pub(crate) fn agrees(&self, inode: Inode) -> bool {
        let Some(count) = self.watched[usize::from(inode)] else {
            return true;
        };
        let is_visible =
            |file: &&File| file.table && !file.path && !file.dark && file.inode == inode;
        let visible = self.files.iter().filter(is_visible).count();
        let known = usize::from(self.readers[usize::from(inode)]);
        usize::try_from(count).is_ok_and(|count| (visible..=known).contains(&count))
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
            file.live && file.dark && file.inode == inode && **entry != Some(inode)
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
