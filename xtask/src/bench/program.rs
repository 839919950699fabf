//! The programs that measure in guests, built from this workspace.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::guest::{Ending, Guest, Init};
use crate::install::{self, Installed};
use crate::lab::kernel::Kernel;
use crate::setup::{self, Need};
use crate::{cargo, lab};

/// Where a guest finds the folder that it gets.
pub(super) const SHARE: &str = "/run/share";
/// What [`floor`]'s programs are called in it.
pub(super) const FLOOR: &str = "floor.bpf.o";

/// One of the tests' programs, and what its guests get.
pub(super) struct Measuring {
    name: &'static str,
    installed: Vec<Installed>,
    share: TempDir,
}

impl Measuring {
    /// Builds it, and rousr, optimized.
    pub(super) fn build(name: &'static str) -> Result<Self> {
        setup::ensure(Need::LAB)?;
        setup::ensure(Need::TOOLCHAIN)?;
        let measuring = Self {
            name,
            installed: install::build(true)?,
            share: tempfile::tempdir().context("cannot create a temporary folder")?,
        };
        measuring.give(&cargo::guest_program(name)?, name)?;
        Ok(measuring)
    }

    /// Puts a file into the folder that guests get.
    pub(super) fn give(&self, from: &Path, name: &str) -> Result<()> {
        fs::copy(from, self.share.path().join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }

    /// Runs it in a guest like `guest` with an argument, and reads what it prints.
    ///
    /// # Errors
    ///
    /// Where the guest or the program fails.
    pub(super) fn run<T: DeserializeOwned>(&self, guest: Guest, argument: &str) -> Result<T> {
        self.run_as_is(&self.install(guest), &[argument])
    }

    /// The guest with rousr in it.
    pub(super) fn install(&self, guest: Guest) -> Guest {
        Guest {
            installed: self.installed.clone(),
            ..guest
        }
    }

    /// As [`run`](Self::run) with any arguments, in a guest with rousr or without it.
    ///
    /// # Errors
    ///
    /// As `run`.
    pub(super) fn run_as_is<T: DeserializeOwned>(
        &self,
        guest: &Guest,
        arguments: &[&str],
    ) -> Result<T> {
        let guest = Guest {
            share: Some(self.share.path().into()),
            ..guest.clone()
        };
        let program = format!("{SHARE}/{}", self.name);
        let command: Vec<OsString> = [program.as_str()]
            .iter()
            .chain(arguments)
            .map(OsString::from)
            .collect();
        let (ending, output) = guest.run_whole(&command, Vec::new)?;
        let said = || String::from_utf8_lossy(&output);
        match ending {
            Ending::Exited(0) => {}
            Ending::Interrupted => bail!("interrupted"),
            other => bail!("{} ended with {other:?}:\n{}", self.name, said()),
        }
        serde_json::from_slice(&output).with_context(|| format!("{} said\n{}", self.name, said()))
    }
}

/// A guest whose clock counts instructions, so that figures repeat.
pub(super) fn counting(kernel: Kernel, timeout: Duration) -> Guest {
    Guest {
        init: Init::Sh,
        cpus: 1,
        icount: true,
        timeout,
        ..Guest::systemd(kernel)
    }
}

/// Builds the BPF programs that do nothing, as rousr-user's build script builds those that do.
pub(super) fn floor() -> Result<PathBuf> {
    const TARGET: &str = "bpfel-unknown-none";
    let into = lab::workspace().join("target/floor");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked"])
        .args(["--package=rousr-ebpf", "--bin=floor", "--features=floor"])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&into)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "-Ctarget-cpu=v3\u{1f}-Cdebuginfo=2\u{1f}-Clink-arg=--btf",
        )
        .current_dir(lab::workspace())
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the empty BPF programs do not build; cargo says why above");
    }
    Ok(into.join(TARGET).join("release/floor"))
}
