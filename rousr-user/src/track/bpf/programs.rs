//! The programs in the kernel: loaded once, attached and detached as needed.

use std::{path::Path, process};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, HashMap, MapData, MapError, RingBuf},
    programs::{FExit, Iter, Lsm, Program, ProgramError, fexit::FExitLinkId, lsm::LsmLinkId},
};
use aya_log::{EbpfLogger, LEVEL as LOG_LEVEL};
use rousr_ebpf::{OwnFile, globals, names};

use super::{
    offsets::{self, KERNEL_BTF, OffsetError},
    pass::{self, PassError},
};
use crate::sys::readiness::readable;

/// The active security modules, one line, separated by commas.
const ACTIVE_LSMS: &str = "/sys/kernel/security/lsm";

/// Why the programs cannot be used on this kernel.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Without the BPF LSM the hooks would load and never be called.
    #[error(
        "the kernel's active security modules are {active:?}, without bpf; \
         boot with lsm={active},bpf (Linux 5.7 or newer, CONFIG_BPF_LSM)"
    )]
    LsmInactive {
        /// What is active, separated by commas.
        active: String,
    },
    /// The list of security modules could not be read.
    #[error("cannot read {ACTIVE_LSMS}: {0}; mount securityfs on /sys/kernel/security")]
    LsmUnknown(std::io::Error),
    /// The kernel's structures are not known.
    #[error(transparent)]
    Offsets(#[from] OffsetError),
    /// The kernel's type information could not be parsed.
    #[error("cannot read the kernel's type information ({KERNEL_BTF}): {0}")]
    Btf(#[from] aya::BtfError),
    /// The object was refused.
    #[error("the kernel refused the BPF maps: {}; is BPF restricted by lockdown or a container?", chain(.0))]
    Object(#[from] EbpfError),
    /// A program was refused.
    #[error(
        "the kernel refused the BPF program {name}: {source}; is BPF restricted by lockdown or a container?"
    )]
    Program {
        /// Name of the program.
        name: &'static str,
        /// The verifier's or the system call's answer.
        source: ProgramError,
    },
    /// A map has another type than expected.
    #[error("cannot use the BPF maps: {0}")]
    Map(#[from] MapError),
    /// The ring buffer could not be polled.
    #[error("cannot wait for the ring buffer: {0}")]
    RingBuffer(std::io::Error),
}

/// The loaded programs.
pub(super) struct Programs {
    ebpf: Ebpf,
    links: Option<Links>,
}

struct Links {
    file_free: LsmLinkId,
    file_open: LsmLinkId,
    path_open: FExitLinkId,
}

/// The programs, and the maps they share with us.
pub(super) struct Loaded {
    pub(super) programs: Programs,
    pub(super) watched: HashMap<MapData, u64, u64>,
    pub(super) files: HashMap<MapData, u64, u64>,
    pub(super) losses: Array<MapData, u64>,
    pub(super) releases: RingBuf<MapData>,
}

impl Programs {
    pub(super) fn load(object: &[u8], device: u32) -> Result<Loaded, Unavailable> {
        require_bpf_lsm()?;
        let offsets = offsets::read(Path::new(KERNEL_BTF))?;
        let agent = process::id();
        let log_level = bpf_log_level();
        let mut loader = EbpfLoader::new();
        for (global, offset) in &offsets {
            loader.override_global(global, offset, true);
        }
        let mut ebpf = loader
            .override_global(globals::DEVICE, &device, true)
            .override_global(globals::AGENT, &agent, true)
            .override_global(LOG_LEVEL, &log_level, true)
            .load(object)?;
        forward_log(&mut ebpf, log_level);
        let watched = HashMap::try_from(take_map(&mut ebpf, names::WATCHED)?)?;
        let files = HashMap::try_from(take_map(&mut ebpf, names::FILES)?)?;
        let losses = Array::try_from(take_map(&mut ebpf, names::LOSSES)?)?;
        let releases = RingBuf::try_from(take_map(&mut ebpf, names::RELEASES)?)?;
        let mut programs = Self { ebpf, links: None };
        programs.load_all(&Btf::from_sys_fs()?)?;
        Ok(Loaded {
            programs,
            watched,
            files,
            losses,
            releases,
        })
    }

    fn load_all(&mut self, btf: &Btf) -> Result<(), Unavailable> {
        for name in [names::FILE_FREE, names::FILE_OPEN] {
            self.program::<Lsm>(name)
                .and_then(|lsm| lsm.load(name, btf))
                .map_err(refused(name))?;
        }
        self.program::<FExit>(names::PATH_OPEN)
            .and_then(|fexit| fexit.load(names::PATH_OPEN, btf))
            .map_err(refused(names::PATH_OPEN))?;
        for (name, kind) in [
            (names::ITER_FILES, "task_file"),
            (names::ITER_MAPPINGS, "task_vma"),
        ] {
            self.program::<Iter>(name)
                .and_then(|iter| iter.load(kind, btf))
                .map_err(refused(name))?;
        }
        Ok(())
    }

    /// Attaches the programs, the one for deaths first: a file counted by the others is then
    /// always taken off again.
    pub(super) fn attach(&mut self) -> Result<(), ProgramError> {
        self.links = Some(Links {
            file_free: self.program::<Lsm>(names::FILE_FREE)?.attach()?,
            file_open: self.program::<Lsm>(names::FILE_OPEN)?.attach()?,
            path_open: self.program::<FExit>(names::PATH_OPEN)?.attach()?,
        });
        Ok(())
    }

    pub(super) fn attached(&self) -> bool {
        self.links.is_some()
    }

    /// Detaches the programs, the one for deaths last.
    pub(super) fn detach(&mut self) {
        let Some(links) = self.links.take() else {
            return;
        };
        let detached = self
            .program::<FExit>(names::PATH_OPEN)
            .and_then(|fexit| fexit.detach(links.path_open))
            .and_then(|()| {
                self.program::<Lsm>(names::FILE_OPEN)?
                    .detach(links.file_open)
            })
            .and_then(|()| {
                self.program::<Lsm>(names::FILE_FREE)?
                    .detach(links.file_free)
            });
        if let Err(error) = detached {
            tracing::warn!(%error, "a BPF program stays attached until the agent ends");
        }
    }

    /// The agent's own files on the tracked superblock, by descriptor.
    pub(super) fn own_files(&mut self) -> Result<Vec<OwnFile>, PassError> {
        pass::run(self.program(names::ITER_FILES)?).map(pass::own_files)
    }

    /// Counts what all other tasks have open or mapped of the watched inodes.
    pub(super) fn count_open_files(&mut self) -> Result<(), PassError> {
        pass::run(self.program(names::ITER_FILES)?)?;
        pass::run(self.program(names::ITER_MAPPINGS)?)?;
        Ok(())
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

fn require_bpf_lsm() -> Result<(), Unavailable> {
    let active = std::fs::read_to_string(ACTIVE_LSMS).map_err(Unavailable::LsmUnknown)?;
    bpf_among(active.trim())
}

fn bpf_among(active: &str) -> Result<(), Unavailable> {
    if active.split(',').any(|name| name == "bpf") {
        return Ok(());
    }
    Err(Unavailable::LsmInactive {
        active: active.to_owned(),
    })
}

/// The build has checked that the object holds the map.
fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, MapError> {
    ebpf.take_map(name).ok_or(MapError::InvalidName {
        name: name.to_owned(),
    })
}

fn refused(name: &'static str) -> impl Fn(ProgramError) -> Unavailable {
    move |source| Unavailable::Program { name, source }
}

/// aya-log's level for the programs. Below `debug` they contain no logging at all: the level is
/// a constant to the verifier, which drops the dead branches.
fn bpf_log_level() -> u8 {
    if tracing::enabled!(tracing::Level::DEBUG) {
        aya_log::Level::Debug as u8
    } else {
        0
    }
}

/// Hands the programs' log lines to ours for as long as the runtime lives.
fn forward_log(ebpf: &mut Ebpf, level: u8) {
    if level == 0 {
        return;
    }
    let logger = EbpfLogger::init(ebpf)
        .map_err(anyhow::Error::from)
        .and_then(|logger| Ok(readable(logger)?));
    match logger {
        Ok(mut logger) => {
            tokio::spawn(async move {
                while let Ok(mut guard) = logger.readable_mut().await {
                    guard.get_inner_mut().flush();
                    guard.clear_ready();
                }
            });
        }
        Err(error) => tracing::warn!(%error, "the BPF programs' log lines are not shown"),
    }
}

/// aya's errors tell the reason in their sources only.
fn chain(error: &EbpfError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpf_has_to_be_active_and_the_error_says_how() {
        for active in [
            "bpf",
            "lockdown,capability,yama,apparmor,bpf,ima",
            "capability,bpf",
        ] {
            assert!(bpf_among(active).is_ok(), "{active}");
        }
        for inactive in ["", "lockdown,capability,yama,apparmor", "bpfilter"] {
            let error = bpf_among(inactive).expect_err(inactive).to_string();
            assert!(error.contains(&format!("lsm={inactive},bpf")), "{error}");
        }
    }
}
