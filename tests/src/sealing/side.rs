//! How /usr becomes writable and read-only again: by hooks that remount, or by rousr.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};

use crate::{is_sealed, shell, succeed, wait, wait_for_agent};

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Hooks, as a Debian administrator writes them.
    Plain,
    /// rousr's.
    Rousr,
}

const HOOKS: &str = r#"DPkg::Pre-Invoke { "mount -o remount,rw /usr"; };
DPkg::Post-Invoke { "mount -o remount,ro /usr"; };
"#;

impl Side {
    /// By its name.
    ///
    /// # Errors
    ///
    /// There is no other.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        match name {
            "plain" => Ok(Self::Plain),
            "rousr" => Ok(Self::Rousr),
            _ => bail!("{name} is neither plain nor rousr"),
        }
    }

    pub(super) fn set_up(self) -> anyhow::Result<()> {
        match self {
            Self::Plain => fs::write("/etc/apt/apt.conf.d/99remount", HOOKS).context("the hooks"),
            Self::Rousr => {
                wait_for_agent();
                Ok(())
            }
        }
    }

    /// Makes /usr writable, does that, and makes it read-only again.
    ///
    /// # Panics
    ///
    /// Panics where it does not succeed.
    pub(super) fn reset(self, line: &str) {
        match self {
            Self::Plain => {
                shell("mount -o remount,rw /usr");
                shell(line);
                succeed("mount -o remount,ro /usr");
            }
            Self::Rousr => {
                shell(line);
                wait(Duration::from_secs(90), "/usr is sealed", is_sealed);
            }
        }
    }

    /// What a while is for whoever seals by itself: rousr's tries come with pauses that double.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::Plain => Duration::from_secs(3),
            Self::Rousr => Duration::from_secs(20),
        }
    }
}
