//! Programs that cargo builds and installs, each in one exact version.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// A program, and the package of the same name.
pub(super) struct CargoProgram {
    pub(super) name: &'static str,
    version: &'static str,
}

/// The linker of the BPF program: the newest that links what rustc 1.95 emits.
pub(super) const BPF_LINKER: CargoProgram = CargoProgram {
    name: "bpf-linker",
    version: "0.10.3",
};

/// Builds the fuzz targets.
pub(super) const CARGO_FUZZ: CargoProgram = CargoProgram {
    name: "cargo-fuzz",
    version: "0.13.2",
};

impl CargoProgram {
    /// The version on PATH, where it is the right one.
    pub(super) fn present(&self) -> Option<String> {
        let said = process::read_text(Command::new(self.name).arg("--version")).ok()?;
        let version = said.split_whitespace().nth(1)?;
        (version == self.version).then(|| version.to_owned())
    }

    /// Builds and installs it into the user's cargo home.
    pub(super) fn provide(&self) -> Result<()> {
        let Self { name, version } = self;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let install = ["install", name, "--version", version, "--locked", "--force"];
        process::read(Command::new(cargo).args(install))?;
        self.present().with_context(|| {
            format!(
                "{name} {version} is installed but PATH finds another or none: put cargo's bin \
                 folder (~/.cargo/bin) first in PATH"
            )
        })?;
        Ok(())
    }
}
