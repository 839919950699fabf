//! Everything stopped at once, and started again.

use std::{fs, io, path::Path, process::Command};

use anyhow::{Context as _, bail};

use super::{detach_all, place::dismiss_guard};
use crate::{
    seal::Level,
    transaction::{HostKeeper, Places},
};

const UNIT: &str = "rousr.service";

/// What stays while rousr is disabled.
#[derive(Clone, Copy, Debug)]
pub struct Disabled {
    /// Number of holds.
    pub holds: usize,
    /// Of the volume.
    pub level: Level,
}

/// Whether the hooks are to do nothing.
pub fn is_disabled() -> bool {
    Places::default().disabled.exists()
}

/// Stops the agent or a guard, now and at boot, detaches its programs, and has the hooks do nothing.
///
/// # Errors
///
/// Fails where one of that cannot be done; what was done before stays so.
pub fn disable() -> anyhow::Result<Disabled> {
    let places = Places::default();
    // First of all: an upgrade that begins now is left alone.
    mark(&places.disabled)?;
    systemctl("disable")?;
    dismiss_guard();
    detach_all()?;
    let keeper = HostKeeper::open(places)?;
    Ok(Disabled {
        holds: keeper.holds()?.holds.len(),
        level: keeper.level()?,
    })
}

/// Undoes it.
///
/// # Errors
///
/// Fails where the agent cannot be started; the hooks do nothing then.
pub fn enable() -> anyhow::Result<()> {
    systemctl("enable")?;
    let disabled = Places::default().disabled;
    match fs::remove_file(&disabled) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", disabled.display()))
        }
        _ => Ok(()),
    }
}

fn mark(disabled: &Path) -> anyhow::Result<()> {
    if let Some(folder) = disabled.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(disabled, "by `rousr disable`; `rousr enable` undoes it\n")
        .with_context(|| format!("cannot write {}", disabled.display()))
}

fn systemctl(verb: &str) -> anyhow::Result<()> {
    let status = Command::new("systemctl")
        .args(["--quiet", verb, "--now", UNIT])
        .status()
        .context("cannot run systemctl")?;
    if !status.success() {
        bail!("`systemctl {verb} --now {UNIT}` failed; see `systemctl status {UNIT}`");
    }
    Ok(())
}
