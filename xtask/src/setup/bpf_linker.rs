//! bpf-linker, the linker of the BPF program: one exact version.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// The newest that links what rustc 1.95 emits.
const VERSION: &str = "0.10.3";

/// The version on PATH, where it is the right one.
pub(super) fn present() -> Option<String> {
    let said = process::read_text(Command::new("bpf-linker").arg("--version")).ok()?;
    let version = said.split_whitespace().nth(1)?;
    (version == VERSION).then(|| version.to_owned())
}

/// Builds and installs it into the user's cargo home.
pub(super) fn provide() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let install = [
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--locked",
        "--force",
    ];
    process::read(Command::new(cargo).args(install))?;
    present().with_context(|| {
        format!(
            "bpf-linker {VERSION} is installed but PATH finds another or none: put cargo's bin \
             folder (~/.cargo/bin) first in PATH"
        )
    })?;
    Ok(())
}
