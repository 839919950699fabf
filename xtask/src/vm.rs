//! `cargo xtask vm`: one command in a pristine guest.

use std::ffi::OsString;
use std::fs;
use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::value_parser;

use crate::guest::{Disks, Ending, Guest, Init, disk};
use crate::lab::{kernel::Kernel, layout::Layout};
use crate::setup::{self, Need};
use crate::{install, lab, say};

/// As timeout(1) says it.
const TIMED_OUT: u8 = 124;
/// As a shell says death by SIGINT.
const INTERRUPTED: u8 = 130;

/// Run a command as root in a pristine Debian guest with rousr installed and /usr read-only
///
/// What the command leaves in the guest's /run/out comes back with --out. The exit status is the
/// command's; 124 when it timed out.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    /// PID 1
    #[arg(long, value_enum, default_value_t = Init::Sh)]
    init: Init,

    /// What /usr lies on
    #[arg(long, value_enum, default_value_t = Layout::Ext4)]
    fs: Layout,

    /// Keep the guest's disks in this folder, made where it has none: what is written is there at the
    /// next boot
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,

    /// Copy this folder to /run/share
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,

    /// Receive what the command leaves in /run/out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Seconds from power-on until the guest is ended
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = value_parser!(u64).range(1..))]
    timeout: u64,

    /// More kernel arguments, such as preempt=full
    #[arg(
        long,
        value_name = "KERNEL_ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,

    /// One CPU whose clock counts instructions: the same costs at each run
    #[arg(long, conflicts_with = "cpus")]
    icount: bool,

    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = value_parser!(u32).range(256..))]
    memory: u32,

    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u32).range(1..=64))]
    cpus: u32,

    /// Install rousr's optimized build
    #[arg(long, conflicts_with = "no_rousr")]
    release: bool,

    /// A guest without rousr
    #[arg(long)]
    no_rousr: bool,

    /// Program and arguments; for a line of shell: sh -c 'LINE'
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Some(share) = &arguments.share {
        ensure!(share.is_dir(), "--share {}: not a folder", share.display());
    }
    if let Some(out) = &arguments.out {
        fs::create_dir_all(out).with_context(|| format!("--out {}", out.display()))?;
    }
    setup::ensure(Need::LAB)?;
    setup::ensure(&[Need::Layout(arguments.fs)])?;
    let installed = match arguments.no_rousr {
        true => Vec::new(),
        false => {
            setup::ensure(Need::TOOLCHAIN)?;
            install::build(arguments.release)?
        }
    };
    let version = arguments.kernel.version()?.unwrap_or_default();
    say::line(format!("guest: Debian {}, Linux {version}", lab::RELEASE));
    let disks = match arguments.disk {
        Some(folder) => {
            disk::make(&folder).context("--disk")?;
            Disks::Kept(folder)
        }
        None => Disks::Pristine,
    };
    let guest = Guest {
        kernel: arguments.kernel,
        init: arguments.init,
        layout: arguments.fs,
        cpus: arguments.cpus,
        memory_mib: arguments.memory,
        icount: arguments.icount,
        append: arguments.append,
        disks,
        prepare: None,
        timeout: Duration::from_secs(arguments.timeout),
        installed,
        share: arguments.share,
        out: arguments.out,
        blank: None,
    };
    let status = match guest.run(&arguments.command, &mut stdout())? {
        Ending::Exited(status) => status,
        Ending::TimedOut => {
            say::line(format!(
                "error: timed out after {} s (--timeout)",
                arguments.timeout
            ));
            TIMED_OUT
        }
        Ending::Interrupted => INTERRUPTED,
        Ending::EmulatorFault(fault) => bail!("{fault}; run it again"),
    };
    Ok(ExitCode::from(status))
}
