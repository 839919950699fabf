//! The program that the guests run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{lab, process};

/// Builds it, and puts it into a folder of its own to share; the folder.
pub(super) fn share() -> Result<PathBuf> {
    let program = build()?;
    let folder = lab::workspace().join("target/torture");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let shared = folder.join("torture");
    process::read(
        Command::new("objcopy")
            .arg("--strip-debug")
            .args([program.as_path(), &shared]),
    )?;
    Ok(folder)
}

fn build() -> Result<PathBuf> {
    let messages = process::read_text(Command::new(env!("CARGO")).args([
        "build",
        "--quiet",
        "--release",
        "--package=rousr-tests",
        "--bin=torture",
        "--message-format=json",
    ]))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "torture")
        .find_map(|message| Some(Path::new(message["executable"].as_str()?).to_path_buf()))
        .context("cargo names no program `torture`")
}
