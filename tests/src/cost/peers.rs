//! What else tells of closed files: fanotify, and the probes of bcc's tools.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

/// A fanotify group that is told of closes. Nobody reads its queue while a file is measured: the
/// figure is what the opener pays, as it is for rousr, whose agent is not measured either.
pub(super) struct Mark {
    _group: Fanotify,
}

impl Mark {
    /// Marks the filesystem of `path`.
    pub(super) fn filesystem(path: &Path) -> anyhow::Result<Self> {
        Self::new(path, MarkFlags::FAN_MARK_FILESYSTEM)
    }

    /// Marks the inode of `path`.
    pub(super) fn inode(path: &Path) -> anyhow::Result<Self> {
        Self::new(path, MarkFlags::FAN_MARK_INODE)
    }

    fn new(path: &Path, kind: MarkFlags) -> anyhow::Result<Self> {
        let group = Fanotify::init(
            InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_UNLIMITED_QUEUE,
            EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
        )?;
        group
            .mark(
                MarkFlags::FAN_MARK_ADD | kind,
                MaskFlags::FAN_CLOSE,
                nix::fcntl::AT_FDCWD,
                Some(path),
            )
            .with_context(|| format!("cannot mark {}", path.display()))?;
        Ok(Self { _group: group })
    }
}

/// A tool that runs, its output thrown away; ended on drop.
pub(super) struct Tool(Child);

impl Tool {
    /// Starts it, and waits until its probes are in.
    pub(super) fn start(program: &Path) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut tool = Self(child);
        // The clock of a guest that idles runs ahead: this costs nothing.
        thread::sleep(Duration::from_secs(20));
        if let Some(status) = tool.0.try_wait()? {
            bail!("{} ended with {status}", program.display());
        }
        Ok(tool)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
        // The kernel takes the probes out later.
        thread::sleep(Duration::from_secs(5));
    }
}
