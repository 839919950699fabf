//! Loading: the kernel's offsets, the maps (those pinned by an agent before this one, where there
//! are some), the programs.

use std::{io, path::Path, process};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, Map, MapData, MapError, RingBuf},
};
use aya_log::{EbpfLogger, LEVEL as LOG_LEVEL};
use rousr_ebpf::{Agent, globals, names};

use super::{
    OBJECT,
    filter::Filter,
    hooks::Hooks,
    maps::{Maps, OwnProcess, Told},
    offsets::{self, KERNEL_BTF},
    pins::Pins,
    programs::Programs,
    unavailable::Unavailable,
};
use crate::{sys::readiness::readable, track::process::Process};

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The tracked superblock, in the kernel's own encoding (`major << 20 | minor`, as in mountinfo
    /// and not as in `stat`).
    pub device: u32,
    /// Size of the ring buffer: a power of two, and a multiple of the page size.
    pub ring_bytes: u32,
}

/// Size of the ring buffer, which holds some eight thousand releases.
pub const RING_BYTES: u32 = 1 << 18;

/// The programs, and the maps they share with us.
pub(super) struct Loaded {
    pub(super) programs: Programs,
    pub(super) maps: Maps,
    pub(super) releases: RingBuf<MapData>,
    pub(super) newcomers: RingBuf<MapData>,
}

pub(super) fn load(settings: Settings) -> Result<Loaded, Unavailable> {
    let offsets = offsets::read(Path::new(KERNEL_BTF))?;
    let hooks = Hooks::of_this_kernel();
    let pins = match Pins::open(settings.device, settings.ring_bytes) {
        Ok(pins) => Some(pins),
        Err(error) => {
            tracing::warn!("counts do not outlive the agent: {error}");
            None
        }
    };
    let log_level = bpf_log_level();
    let mut loader = EbpfLoader::new();
    for (global, offset) in &offsets {
        loader.override_global(global, offset, true);
    }
    if let Some(pins) = &pins {
        for name in names::PINNED {
            loader.map_pin_path(name, pins.map(name));
        }
    }
    let mut ebpf = loader
        .override_global(globals::DEVICE, &settings.device, true)
        .override_global(LOG_LEVEL, &log_level, true)
        .map_max_entries(names::RELEASES, settings.ring_bytes)
        .load(OBJECT)?;
    forward_log(&mut ebpf, log_level);
    let mut agent = OwnProcess::new(
        Array::try_from(take(&mut ebpf, names::AGENT)?)?,
        own_process().map_err(Unavailable::OwnProcess)?,
    );
    agent.tell(false)?;
    Ok(Loaded {
        maps: Maps {
            agent,
            watched: HashMap::try_from(take(&mut ebpf, names::WATCHED)?)?,
            filter: Filter::new(Array::try_from(take(&mut ebpf, names::FILTER)?)?),
            told: Told::new(Array::try_from(take(&mut ebpf, names::TOLD)?)?),
            table: Array::try_from(take(&mut ebpf, names::TABLE)?)?,
            files: HashMap::try_from(take(&mut ebpf, names::FILES)?)?,
            losses: Array::try_from(take(&mut ebpf, names::LOSSES)?)?,
            truth: Array::try_from(take(&mut ebpf, names::TRUTH)?)?,
            grace: ArrayOfMaps::try_from(take(&mut ebpf, names::GRACE)?)?,
            known: HashMap::try_from(take(&mut ebpf, names::KNOWN)?)?,
            untold: Array::try_from(take(&mut ebpf, names::UNTOLD)?)?,
        },
        releases: RingBuf::try_from(take(&mut ebpf, names::RELEASES)?)?,
        newcomers: RingBuf::try_from(take(&mut ebpf, names::NEWCOMERS)?)?,
        programs: Programs::load(ebpf, hooks, pins, &Btf::from_sys_fs()?)?,
    })
}

fn own_process() -> io::Result<Agent> {
    let process = Process::read(process::id())?;
    Ok(Agent {
        group: u64::from(process.pid),
        started: process.started,
        counts: 0,
    })
}

/// The build has checked that the object holds the map.
fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, MapError> {
    ebpf.take_map(name).ok_or(MapError::InvalidName {
        name: name.to_owned(),
    })
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
