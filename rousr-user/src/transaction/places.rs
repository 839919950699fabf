//! Where rousr keeps what it knows.

use std::path::PathBuf;

use crate::{config, dpkg::admin_dir::AdminDir};

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The settings.
    pub config: PathBuf,
    /// What the administrator wants read-only.
    pub fstab: PathBuf,
    /// What the holds were.
    pub ledger: PathBuf,
    /// What the transactions were.
    pub history: PathBuf,
    /// The mount point, where the volume is not that of /usr.
    pub beside: Option<PathBuf>,
    /// One writer at a time.
    pub lock: PathBuf,
    /// Why the volume is writable.
    pub openings: PathBuf,
    /// There while the administrator has rousr disabled.
    pub disabled: PathBuf,
    /// dpkg's database.
    pub dpkg: AdminDir,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            config: config::PATH.into(),
            fstab: "/etc/fstab".into(),
            ledger: "/var/lib/rousr/ledger".into(),
            history: "/var/lib/rousr/history".into(),
            beside: None,
            lock: "/run/rousr/lock".into(),
            openings: "/run/rousr/open".into(),
            disabled: "/var/lib/rousr/disabled".into(),
            dpkg: AdminDir::from_environment(),
        }
    }
}
