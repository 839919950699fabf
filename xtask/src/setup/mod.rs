//! `cargo xtask setup`: everything the other tasks need beside cargo itself.

mod cargo_program;
mod programs;
mod rust_src;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::lab::{busybox, image, newer, tools, upgrade};
use crate::lab::{kernel::Kernel, layout::Layout};
use crate::{cache, say};
use cargo_program::{BPF_LINKER, CARGO_FUZZ};

/// Prepare the machine: programs, the BPF toolchain, kernels and the guest's image
///
/// Every other task does the part it needs by itself.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fetch the newest kernels and packages again, even where some are cached
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut provided = 0;
    for need in Need::ALL {
        let dated = arguments.update && need.is_from_archive();
        match need.present()?.filter(|_| !dated) {
            Some(what) => say::line(format!("{}: {what}: present", need.name())),
            None => {
                need.provide(dated)?;
                provided += 1;
            }
        }
    }
    say::line(match provided {
        0 => "setup: nothing to do".into(),
        _ => format!("setup: done, {provided} of {} provided", Need::ALL.len()),
    });
    Ok(ExitCode::SUCCESS)
}

/// Provides those of `needs` that are missing, in order; takes milliseconds where none is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    for need in needs {
        if need.present()?.is_none() {
            need.provide(false)?;
        }
    }
    Ok(())
}

/// Something a task cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Debian's programs.
    Programs,
    /// The linker of the BPF program.
    BpfLinker,
    /// The standard library's source, which the BPF program's `core` is built from.
    RustSrc,
    /// A kernel for guests.
    Kernel(Kernel),
    /// The packages guests upgrade.
    Upgrade,
    /// The initramfs's program.
    Busybox,
    /// The guests' disks; needs all of the above but the toolchain.
    Image,
    /// The disk that guests of a layout need beside the others.
    Layout(Layout),
    /// Newer packages than the image has; only a whole upgrade asks for them.
    Newer,
    /// The tools that benchmarks compare with.
    Tools,
    /// What builds the fuzz targets.
    CargoFuzz,
}

impl Need {
    const ALL: [Self; 11] = [
        Self::Programs,
        Self::BpfLinker,
        Self::RustSrc,
        Self::Kernel(Kernel::Bookworm),
        Self::Kernel(Kernel::Trixie),
        Self::Kernel(Kernel::Backports),
        Self::Upgrade,
        Self::Busybox,
        Self::Image,
        Self::Tools,
        Self::CargoFuzz,
    ];

    /// What compiles the BPF program.
    pub(crate) const TOOLCHAIN: &[Self] = &[Self::BpfLinker, Self::RustSrc];

    /// What a guest boots from.
    pub(crate) const LAB: &[Self] = &[
        Self::Programs,
        Self::Kernel(Kernel::Bookworm),
        Self::Kernel(Kernel::Trixie),
        Self::Kernel(Kernel::Backports),
        Self::Upgrade,
        Self::Busybox,
        Self::Image,
    ];

    /// What fuzzing takes; among Debian's programs is a C++ compiler.
    pub(crate) const FUZZ: &[Self] = &[
        Self::Programs,
        Self::BpfLinker,
        Self::RustSrc,
        Self::CargoFuzz,
    ];

    fn name(self) -> String {
        match self {
            Self::Programs => "programs".into(),
            Self::BpfLinker => BPF_LINKER.name.into(),
            Self::RustSrc => "rust-src".into(),
            Self::Kernel(kernel) => format!("kernel {}", kernel.name()),
            Self::Upgrade => "upgrade".into(),
            Self::Busybox => "busybox".into(),
            Self::Image => "guest image".into(),
            Self::Layout(layout) => format!("layout {}", layout.name()),
            Self::Newer => "newer packages".into(),
            Self::Tools => tools::TOOLS.join(" and "),
            Self::CargoFuzz => CARGO_FUZZ.name.into(),
        }
    }

    fn is_from_archive(self) -> bool {
        matches!(self, Self::Kernel(_) | Self::Upgrade)
    }

    /// What is there, in a few words; none where the need is not met.
    fn present(self) -> Result<Option<String>> {
        match self {
            Self::Programs => Ok(programs::missing().is_empty().then(programs::names)),
            Self::BpfLinker => Ok(BPF_LINKER.present()),
            Self::RustSrc => rust_src::present(),
            Self::Kernel(kernel) => Ok(kernel.version()?.map(|version| format!("Linux {version}"))),
            Self::Upgrade => {
                Ok(upgrade::old_version()?.map(|version| format!("openssl {version} and newer")))
            }
            Self::Busybox => Ok(busybox::file()?.exists().then(|| "from trixie".into())),
            Self::Image => {
                let folder = image::folder()?;
                Ok(folder.exists().then(|| folder.display().to_string()))
            }
            Self::Layout(layout) => Ok(match layout.disk()? {
                Some(disk) => disk.exists().then(|| disk.display().to_string()),
                None => Some("needs no disk".into()),
            }),
            Self::Newer => Ok(newer::changes()?.map(|changes| changes.len().to_string())),
            Self::Tools => Ok(tools::folder()?.exists().then(|| "from trixie".into())),
            Self::CargoFuzz => Ok(CARGO_FUZZ.present()),
        }
    }

    fn provide(self, dated: bool) -> Result<()> {
        let _lock = cache::lock()?;
        // Another task may have done it meanwhile.
        if !dated && self.present()?.is_some() {
            return Ok(());
        }
        let step = say::Step::start(self.name(), self.doing());
        match self {
            Self::Programs => programs::provide(),
            Self::BpfLinker => BPF_LINKER.provide(),
            Self::RustSrc => rust_src::provide(&step),
            Self::Kernel(kernel) => kernel.provide(),
            Self::Upgrade => upgrade::provide(),
            Self::Busybox => busybox::provide(),
            Self::Image => image::provide(),
            Self::Layout(layout) => layout.provide(),
            Self::Newer => newer::provide(),
            Self::Tools => tools::provide(),
            Self::CargoFuzz => CARGO_FUZZ.provide(),
        }
        .with_context(|| format!("setup of {} failed", self.name()))?;
        let what = self.present()?.with_context(|| {
            format!("{} is still missing after its setup succeeded", self.name())
        })?;
        step.done(&what);
        Ok(())
    }

    fn doing(self) -> &'static str {
        match self {
            Self::Programs => "installing Debian packages",
            Self::BpfLinker | Self::CargoFuzz => "cargo install, a minute or two",
            Self::RustSrc => "looking for the source of the active rustc",
            Self::Kernel(_) | Self::Upgrade | Self::Busybox | Self::Tools => "downloading",
            Self::Image => "building, half a minute",
            Self::Newer => "downloading and packing, a minute or two",
            Self::Layout(_) => "filling a disk in a guest, a minute or two",
        }
    }
}
