//! The programs in the kernel: loaded once, attached and detached as needed.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use aya::{
    Btf, Ebpf,
    programs::{
        FEntry, Iter, Lsm, Program, ProgramError,
        links::{FdLink, PinnedLink},
    },
};
use rousr_ebpf::{NOT_OWN, Seen, names};

use super::{
    hooks::Hooks,
    pass::{self, PassError},
    pins::Pins,
    unavailable::Unavailable,
    visits::Visits,
};

/// The loaded programs.
pub(super) struct Programs {
    ebpf: Ebpf,
    hooks: Hooks,
    pins: Option<Pins>,
    links: Vec<Attached>,
}

/// Keeps a program attached. It is detached at the drop: closing a link's last descriptor waits for
/// it, while the removal of its last pin only schedules it.
enum Attached {
    Pinned(PinnedLink),
    Own(#[expect(dead_code, reason = "kept for its drop")] FdLink),
}

impl Programs {
    /// Loads the programs for `hooks` and the iterators.
    pub(super) fn load(
        ebpf: Ebpf,
        hooks: Hooks,
        pins: Option<Pins>,
        btf: &Btf,
    ) -> Result<Self, Unavailable> {
        let mut programs = Self {
            ebpf,
            hooks,
            pins,
            links: Vec::new(),
        };
        for name in hooks.programs() {
            let loaded = match hooks {
                Hooks::Lsm => programs
                    .program::<Lsm>(name)
                    .and_then(|lsm| lsm.load(name, btf)),
                Hooks::Fentry => programs
                    .program::<FEntry>(name)
                    .and_then(|fentry| fentry.load(name, btf)),
            };
            loaded.map_err(Unavailable::program(name))?;
        }
        for (name, kind) in [
            (names::ITER_FILES, "task_file"),
            (names::ITER_MAPPINGS, "task_vma"),
            (names::VISIT_TASKS, "task"),
            (names::VISIT_FILES, "task_file"),
            (names::VISIT_MAPPINGS, "task_vma"),
        ] {
            programs
                .program::<Iter>(name)
                .and_then(|iter| iter.load(kind, btf))
                .map_err(Unavailable::program(name))?;
        }
        Ok(programs)
    }

    pub(super) fn hooks(&self) -> Hooks {
        self.hooks
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// Whether all of them are attached.
    pub(super) fn is_attached(&self) -> bool {
        self.links.len() == self.hooks.programs().len()
    }

    /// Attaches the programs, in the place of those of an agent before this one. For a moment both
    /// run: a file is entered once all the same, and taken off once.
    pub(super) fn attach(&mut self) -> anyhow::Result<()> {
        // One alone may be left of an attempt that failed.
        self.links.clear();
        for name in self.hooks.programs() {
            let link = self.link(name)?;
            let attached = match &self.pins {
                Some(pins) => Attached::Pinned(pins.pin(name, link)?),
                None => Attached::Own(link),
            };
            self.links.push(attached);
        }
        Ok(())
    }

    /// Detaches the programs, the one for deaths last, also those of an agent before this one.
    pub(super) fn detach(&mut self) {
        while let Some(attached) = self.links.pop() {
            if let Attached::Pinned(link) = attached
                && let Err(error) = link.unpin()
            {
                tracing::warn!(%error, "a BPF program stays attached; `rousr agent --detach-all` removes it");
            }
        }
        if let Some(pins) = &self.pins
            && let Err(error) = pins.drop_links()
        {
            tracing::warn!(%error, "an old BPF program stays attached; `rousr agent --detach-all` removes it");
        }
    }

    /// Lets go of what other versions have left, once this one's programs count.
    pub(super) fn drop_others(&self) {
        let Some(pins) = &self.pins else {
            return;
        };
        match pins.drop_others() {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "removed the BPF maps of another version"),
            Err(error) => {
                tracing::warn!(%error, "BPF maps of another version stay; `rousr agent --detach-all` removes them");
            }
        }
    }

    /// How often the kernel skipped one of the programs, as the kernel counts it.
    pub(super) fn misses(&mut self) -> io::Result<u64> {
        let mut misses = 0;
        for name in self.hooks.programs() {
            let program = self.ebpf.program(name).ok_or(io::ErrorKind::NotFound)?;
            let fd = program.fd().map_err(io::Error::other)?;
            let info = fs::read(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
            misses += recursion_misses(&info);
        }
        Ok(misses)
    }

    /// This process's files on the tracked superblock, by descriptor.
    pub(super) fn own_files(&mut self) -> Result<HashMap<RawFd, Seen>, PassError> {
        let output = pass::run(self.program(names::ITER_FILES)?)?;
        Ok(pass::seen(&output)
            .filter(|seen| seen.descriptor != NOT_OWN)
            .filter_map(|seen| Some((RawFd::try_from(seen.descriptor).ok()?, seen)))
            .collect())
    }

    /// Counts what all other tasks have open or mapped of the watched inodes, and tells it.
    pub(super) fn count_open_files(&mut self) -> Result<Vec<Seen>, PassError> {
        let mut output = pass::run(self.program(names::ITER_FILES)?)?;
        output.extend(pass::run(self.program(names::ITER_MAPPINGS)?)?);
        Ok(pass::seen(&output)
            .filter(|seen| seen.descriptor == NOT_OWN)
            .collect())
    }

    fn link(&mut self, name: &str) -> Result<FdLink, ProgramError> {
        match self.hooks {
            Hooks::Lsm => {
                let program = self.program::<Lsm>(name)?;
                let id = program.attach()?;
                program.take_link(id).map(Into::into)
            }
            Hooks::Fentry => {
                let program = self.program::<FEntry>(name)?;
                let id = program.attach()?;
                program.take_link(id).map(Into::into)
            }
        }
    }

    /// Opens the iterators that tell who uses what.
    pub(super) fn visits(&mut self) -> Result<Visits, PassError> {
        Ok(Visits {
            files: pass::open(self.program(names::VISIT_FILES)?)?,
            mappings: pass::open(self.program(names::VISIT_MAPPINGS)?)?,
            tasks: pass::open(self.program(names::VISIT_TASKS)?)?,
        })
    }

    fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P, ProgramError>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        self.ebpf
            .program_mut(name)
            .ok_or(ProgramError::NotLoaded)?
            .try_into()
    }
}

/// `recursion_misses` of a program's fdinfo, there since Linux 5.12.
fn recursion_misses(fdinfo: &[u8]) -> u64 {
    fdinfo
        .split(|&byte| byte == b'\n')
        .find_map(|line| {
            let value = line.strip_prefix(b"recursion_misses:")?;
            str::from_utf8(value).ok()?.trim().parse().ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_misses() {
        let info =
            b"pos:\t0\nprog_type:\t26\nrun_cnt:\t5\nrecursion_misses:\t17\nverified_insns:\t9\n";
        assert_eq!(recursion_misses(info), 17);
        for nothing in [&b""[..], b"pos:\t0\n", b"recursion_misses:\tx\n"] {
            assert_eq!(recursion_misses(nothing), 0);
        }
    }
}
