//! Programs of this workspace, as cargo builds them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{lab, process};

/// Runs a cargo command that builds program `name`; the program. What does not compile shows on the
/// terminal.
pub(crate) fn program(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(lab::workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !built.status.success() {
        bail!("{name} does not build; cargo says why above");
    }
    named(&built.stdout, name).with_context(|| format!("cargo names no program {name}"))
}

/// Builds one of the tests' programs for a guest, optimized.
pub(crate) fn guest_program(name: &str) -> Result<PathBuf> {
    let arguments = ["build", "--quiet", "--release", "--package=rousr-tests"];
    program(&[&arguments[..], &["--bin", name]].concat(), name)
}

/// Builds one that does nothing but call others, and copies it to `folder`.
pub(crate) fn plain_guest_program(name: &str, folder: &Path) -> Result<()> {
    let arguments = ["build", "--quiet", "--package=rousr-tests", "--bin", name];
    strip(&program(&arguments, name)?, &folder.join(name))
}

/// The executable of the target `name` among cargo's messages.
fn named(messages: &[u8], name: &str) -> Option<PathBuf> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
}

/// Copies a program without its debug information: a tenth of the size to copy into a guest.
pub(crate) fn strip(program: &Path, stripped: &Path) -> Result<()> {
    let mut strip = Command::new("objcopy");
    process::read(strip.arg("--strip-debug").args([program, stripped]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_named_targets() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"rousr"},"executable":null}
odd
{"reason":"compiler-artifact","target":{"name":"cost"},"executable":"/t/cost"}
{"reason":"compiler-artifact","target":{"name":"rousr"},"executable":"/t/rousr"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(named(messages, "rousr"), Some("/t/rousr".into()));
        assert_eq!(named(messages, "torture"), None);
    }
}
