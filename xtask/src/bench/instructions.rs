//! `cargo xtask bench instructions`: what an open and a close cost.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::Kernels;
use super::program;
use super::table::{Figure, Report, Row};
use crate::guest::{Ending, Guest, Init};
use crate::install::{self, Installed};
use crate::lab::kernel::Kernel;
use crate::lab::tools;
use crate::say;
use crate::setup::{self, Need};

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Count the instructions of an open and a close, by what is attached
///
/// In a guest whose clock counts them, so that the figures repeat. Exits with 1 where rousr costs
/// more than it may.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// 6.1, 6.12, 7.x or all
    #[arg(long, default_value = "all", value_parser = Kernels::parse)]
    kernel: Kernels,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::LAB)?;
    setup::ensure(Need::TOOLCHAIN)?;
    setup::ensure(&[Need::Tools])?;
    let installed = install::build(true)?;
    install::check_c_library()?;
    let share = tempfile::tempdir().context("cannot create a temporary folder")?;
    fill(share.path())?;

    let mut exceeded = false;
    let mut documents = Vec::new();
    for &kernel in &arguments.kernel.0 {
        let version = kernel.version()?.unwrap_or_default();
        say::line(format!("counting instructions on Linux {version}"));
        let rows = Row::all(&measure(kernel, &installed, share.path())?);
        exceeded |= rows.iter().any(Row::is_exceeded);
        if arguments.json {
            documents.push(json!({"kernel": kernel.name(), "version": version, "rows": rows}));
        } else {
            println!("Linux {version}\n\n{}", super::table::markdown(&rows));
        }
    }
    if arguments.json {
        println!("{:#}", json!(documents));
    }
    if exceeded {
        say::line("error: rousr costs more than it may; see the rows marked with !");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts what the measuring program needs into the folder that it is given.
fn fill(share: &Path) -> Result<()> {
    let copy = |from: &Path, name: &str| {
        fs::copy(from, share.join(name)).with_context(|| format!("cannot copy {}", from.display()))
    };
    copy(&program::measuring("cost")?, "cost")?;
    copy(&program::floor()?, "floor.bpf.o")?;
    for tool in tools::TOOLS {
        copy(&tools::folder()?.join(tool), tool)?;
    }
    Ok(())
}

fn measure(kernel: Kernel, installed: &[Installed], share: &Path) -> Result<Vec<Figure>> {
    let guest = Guest {
        init: Init::Sh,
        cpus: 1,
        icount: true,
        timeout: TIMEOUT,
        installed: installed.to_vec(),
        share: Some(share.into()),
        ..Guest::systemd(kernel)
    };
    let command = ["/run/share/cost", "/run/share"].map(OsString::from);
    let (ending, output) = guest.run_whole(&command, Vec::new)?;
    match ending {
        Ending::Exited(0) => {}
        Ending::Interrupted => bail!("interrupted"),
        other => bail!(
            "the measuring program ended with {other:?}:\n{}",
            String::from_utf8_lossy(&output)
        ),
    }
    let report: Report = serde_json::from_slice(&output).with_context(|| {
        format!(
            "the measuring program said\n{}",
            String::from_utf8_lossy(&output)
        )
    })?;
    Ok(report.figures)
}
