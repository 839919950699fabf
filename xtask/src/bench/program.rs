//! The programs that measure in guests, built from this workspace.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{lab, process};

/// Builds one of the tests' programs, optimized.
pub(super) fn measuring(name: &'static str) -> Result<PathBuf> {
    let messages = process::read_text(
        Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--package=rousr-tests"])
            .args(["--bin", name, "--message-format=json"])
            .current_dir(lab::workspace()),
    )?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .with_context(|| format!("cargo names no program {name}"))
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
