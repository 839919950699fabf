//! Tries each feature on the running kernel. Nothing that is tried leaves a trace.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use aya::maps::MapType;
use aya::programs::{LsmAttachType, ProgramError, ProgramType};
use aya::sys::{SyscallError, is_map_supported, is_program_supported};
use btf_rs::{Btf, Type};
use rustix::fs::statfs;

use super::Probes;
use super::feature::{Answer, Feature, State};
use super::lockdown::{self, Lockdown};
use crate::sys::lease;
use crate::sys::mount::{HostMounts, Mounts as _};
use crate::track::{fanotify, modules::Modules};

const BTF: &str = "/sys/kernel/btf/vmlinux";
const SECURITYFS: &str = "/sys/kernel/security";
const BPF_FILESYSTEM: &str = "/sys/fs/bpf";

/// `SECURITYFS_MAGIC` and `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const SECURITYFS_MAGIC: u64 = 0x7363_6673;
const BPF_FILESYSTEM_MAGIC: u64 = 0xcafe_4a11;

/// The functions that the security hooks call, and those that call them.
const LSM_HOOKS: [&str; 2] = ["bpf_lsm_file_open", "bpf_lsm_file_free_security"];
const FENTRY_HOOKS: [&str; 2] = ["security_file_open", "security_file_free"];

/// The running kernel.
pub struct HostProbes {
    /// Where the volume that holds /usr is mounted.
    volume: PathBuf,
    /// Without it most refusals say nothing.
    root: bool,
    btf: Result<Btf, String>,
    modules: Result<Modules, String>,
}

impl HostProbes {
    /// Prepares to ask about the volume mounted at `volume`.
    pub fn new(volume: &Path) -> Self {
        Self {
            volume: volume.to_owned(),
            root: rustix::process::geteuid().is_root(),
            btf: Btf::from_file(BTF).map_err(|error| error.to_string()),
            modules: Modules::active().map_err(|error| error.to_string()),
        }
    }

    /// What a call's failure means.
    fn refused(&self, call: &str, error: &io::Error) -> Answer {
        let told = format!("{call}: {error}");
        if !self.root && error.kind() == io::ErrorKind::PermissionDenied {
            return Answer::unknown(format!("{told}; needs root"));
        }
        Answer::missing(told)
    }

    fn tried(&self, call: &str, result: io::Result<()>) -> Answer {
        match result {
            Ok(()) => Answer::found(call),
            Err(error) => self.refused(call, &error),
        }
    }

    fn btf(&self) -> Answer {
        match &self.btf {
            Ok(_) => Answer::found(format!("{BTF} is read")),
            Err(error) => Answer::missing(format!("{BTF}: {error}")),
        }
    }

    /// Whether the kernel has functions of these names, by its type information.
    fn functions(&self, names: &[&str]) -> Answer {
        let Ok(btf) = &self.btf else {
            return Answer::unknown("there is no type information to look it up in");
        };
        let is_function = |name: &&&str| {
            let types = btf.resolve_types_by_name(name).unwrap_or_default();
            types.iter().any(|found| matches!(found, Type::Func(_)))
        };
        match names.iter().find(|name| !is_function(name)) {
            None => Answer::found(format!("{BTF} has {}", names.join(", "))),
            Some(name) => Answer::missing(format!("{BTF} has no {name}")),
        }
    }

    fn map(&self, kind: MapType) -> Answer {
        match is_map_supported(kind) {
            Ok(true) => Answer::found(format!("a map of type {kind:?} is made")),
            Ok(false) => Answer::missing(format!("no maps of type {kind:?}")),
            Err(SyscallError { call, io_error }) => self.refused(call, &io_error),
        }
    }

    /// A program that does nothing is loaded, and for tracing and security hooks attached for a
    /// moment.
    fn program(&self, name: &str, kind: ProgramType) -> Answer {
        match is_program_supported(kind) {
            Ok(true) => Answer::found(format!("a {name} program is accepted")),
            Ok(false) => Answer::missing(format!("no {name} programs")),
            Err(ProgramError::SyscallError(SyscallError { call, io_error })) => {
                self.refused(call, &io_error)
            }
            Err(error) => Answer::missing(error.to_string()),
        }
    }

    fn bpf_lsm(&self) -> Answer {
        let modules = match &self.modules {
            Ok(modules) => modules,
            Err(error) => return Answer::unknown(error),
        };
        if !modules.has("bpf") {
            return Answer::missing(format!(
                "bpf is not among the active security modules ({modules})"
            ));
        }
        let program = || self.program("security", ProgramType::Lsm(LsmAttachType::Mac));
        let Answer { state, how } = self.functions(&LSM_HOOKS).and(program);
        let how = format!("bpf is active ({modules}); {how}");
        Answer { state, how }
    }

    fn lockdown(&self) -> Answer {
        let file = Path::new(SECURITYFS).join("lockdown");
        if let Ok(text) = fs::read(&file) {
            return match lockdown::parse(&text) {
                Some(Lockdown::Confidentiality) => Answer::missing("lockdown is confidentiality"),
                Some(found) => Answer::found(format!("lockdown is {found:?}").to_lowercase()),
                None => Answer::unknown(format!("{} is not understood", file.display())),
            };
        }
        match &self.modules {
            Ok(modules) if !modules.has("lockdown") => {
                Answer::found(format!("not among the active modules ({modules})"))
            }
            _ => Answer::unknown(format!("{} cannot be read", file.display())),
        }
    }

    fn filesystem(&self, path: &str, magic: u64) -> Answer {
        match statfs(path) {
            Ok(found) if found.f_type as u64 == magic => Answer::found(format!("statfs({path})")),
            Ok(_) => Answer::missing(format!("not mounted on {path}")),
            Err(error) => self.refused(path, &error.into()),
        }
    }

    fn mount(&self, call: &str, attempt: impl FnOnce(&OwnedFd) -> io::Result<()>) -> Answer {
        let result = HostMounts
            .open(&self.volume)
            .and_then(|mount| attempt(&mount));
        self.tried(call, result)
    }

    fn leases(&self) -> Answer {
        let Some(file) = self.readable_file() else {
            return Answer::unknown(format!("no file of {} to try", self.volume.display()));
        };
        let call = format!("F_SETLEASE on {}", file.display());
        let result = File::open(&file).and_then(|file| lease::try_out(file.as_fd()));
        self.tried(&call, result)
    }

    /// Any regular file of the volume. /usr is part of it, and has programs.
    fn readable_file(&self) -> Option<PathBuf> {
        fs::read_dir("/usr/bin")
            .ok()?
            .filter_map(Result::ok)
            .find(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.path())
    }

    fn fanotify(&self) -> Answer {
        match fanotify::try_out(&self.volume) {
            Ok(()) => Answer::found(format!("fanotify_mark on {}", self.volume.display())),
            Err(error) if self.root => Answer::missing(error.to_string()),
            Err(error) => Answer::unknown(format!("{error}; needs root")),
        }
    }

    fn map_files(&self) -> Answer {
        let call = "stat of /proc/self/map_files/*";
        let first = fs::read_dir("/proc/self/map_files").and_then(|mut links| {
            links
                .next()
                .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
        });
        self.tried(
            call,
            first.and_then(|link| fs::metadata(link.path()).map(drop)),
        )
    }

    fn cgroup2(&self) -> Answer {
        match fs::read("/proc/self/cgroup") {
            Ok(text)
                if text
                    .split(|&byte| byte == b'\n')
                    .any(|line| line.starts_with(b"0::")) =>
            {
                Answer::found("/proc/self/cgroup has its line")
            }
            Ok(_) => Answer::missing("/proc/self/cgroup has no line of it"),
            Err(error) => self.refused("/proc/self/cgroup", &error),
        }
    }
}

impl Probes for HostProbes {
    fn kernel(&self) -> String {
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    }

    fn modules(&self) -> Option<&Modules> {
        self.modules.as_ref().ok()
    }

    fn probe(&self, feature: Feature) -> Answer {
        match feature {
            Feature::Btf => self.btf(),
            Feature::Bpf => self
                .map(MapType::Hash)
                .and(|| self.program("socket filter", ProgramType::SocketFilter)),
            Feature::RingBuffer => self.map(MapType::RingBuf),
            Feature::BpfLsm => self.bpf_lsm(),
            Feature::Fentry => self
                .functions(&FENTRY_HOOKS)
                .and(|| self.program("tracing", ProgramType::Tracing)),
            Feature::FileIterator => self.functions(&["bpf_iter_task_file"]),
            Feature::MappingIterator => self.functions(&["bpf_iter_task_vma"]),
            Feature::BpfFilesystem => self.filesystem(BPF_FILESYSTEM, BPF_FILESYSTEM_MAGIC),
            Feature::Lockdown => self.lockdown(),
            Feature::MountSetattr => self.mount("mount_setattr of nothing", |mount| {
                HostMounts.try_setattr(mount)
            }),
            Feature::MountObjects => self.mount("open_tree, fspick", |mount| {
                HostMounts.clone_mount(mount)?;
                HostMounts.try_pick(mount)
            }),
            Feature::Leases => self.leases(),
            Feature::Fanotify => self.fanotify(),
            Feature::MapFiles => self.map_files(),
            Feature::Securityfs => self.filesystem(SECURITYFS, SECURITYFS_MAGIC),
            Feature::Cgroup2 => self.cgroup2(),
        }
    }
}

impl Answer {
    /// Asks further where the feature is there so far.
    fn and(self, further: impl FnOnce() -> Self) -> Self {
        if self.state == State::Found {
            further()
        } else {
            self
        }
    }
}
