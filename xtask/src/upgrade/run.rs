//! A guest for each frontend.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rousr_figures::upgrade::{Change, Line, Report, Task};

use super::Frontend;
use crate::guest::{Ending, Guest};
use crate::install::{self, Installed};
use crate::lab::kernel::Kernel;
use crate::lab::{busybox, newer};
use crate::lines::Lines;
use crate::{cargo, lab, say};

/// More than unattended-upgrades takes in a guest that shares its processors.
const TIMEOUT: Duration = Duration::from_secs(5400);

/// The libraries of the program in the guest.
const LIBRARIES: &str = "/run/upgrade";

/// Neither what runs the guest's command nor the command is to be among those who use /usr: both have
/// copies of what they are made of.
const PREPARE: &str = "
mkdir -p /run/upgrade /run/systemd/system/rousr-lab.service.d
cd /usr/lib/x86_64-linux-gnu
cp -L ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libgcc_s.so.1 /run/upgrade
cat >/run/systemd/system/rousr-lab.service.d/apart.conf <<END
[Service]
ExecStart=
ExecStart=/run/share/busybox sh /run/rousr-lab/run
END
";

/// What every guest gets.
pub(super) struct Bench {
    kernel: Kernel,
    folder: PathBuf,
    installed: Vec<Installed>,
    /// What is upgraded.
    pub(super) changes: Vec<Change>,
}

impl Bench {
    /// With the packages of these sources only, if any are named.
    pub(super) fn build(kernel: Kernel, sources: &[String]) -> Result<Self> {
        let mut changes = newer::changes()?.context("the newer packages come first")?;
        for source in sources {
            let mut all = changes.iter();
            ensure!(
                all.any(|change| change.source == *source),
                "--source {source}: none that changes"
            );
        }
        changes.retain(|change| sources.is_empty() || sources.contains(&change.source));
        let bench = Self {
            kernel,
            folder: lab::workspace().join("target/upgrade"),
            installed: install::build(false)?,
            changes,
        };
        let share = bench.share();
        fs::create_dir_all(&share).with_context(|| format!("cannot make {}", share.display()))?;
        cargo::plain_guest_program("upgrade", &share)?;
        fs::copy(busybox::file()?, share.join("busybox"))?;
        let packages = share.join("newer");
        if packages.exists() {
            fs::remove_dir_all(&packages)?;
        }
        fs::create_dir(&packages)?;
        newer::copy(&bench.changes, &packages)?;
        Ok(bench)
    }

    fn share(&self) -> PathBuf {
        self.folder.join("share")
    }

    pub(super) fn upgrade(&self, frontend: Frontend) -> Result<Report> {
        let name = frontend.name();
        say::line(format!("upgrade: {name}"));
        let out = self.folder.join(&name);
        let guest = Guest {
            timeout: TIMEOUT,
            installed: self.installed.clone(),
            share: Some(self.share()),
            out: Some(out.clone()),
            prepare: Some(PREPARE),
            ..Guest::systemd(self.kernel)
        };
        let task = Task {
            frontend: frontend.into(),
        };
        let loader = format!("{LIBRARIES}/ld-linux-x86-64.so.2");
        let command: [OsString; 5] = [
            loader.into(),
            "--library-path".into(),
            LIBRARIES.into(),
            "/run/share/upgrade".into(),
            serde_json::to_string(&task)?.into(),
        ];
        let report = RefCell::new(None);
        let (ending, _) = guest.run_whole(&command, || {
            Lines::new(|line: &[u8]| match serde_json::from_slice(line) {
                Ok(Line::Progress(text)) => say::line(format!("upgrade: {name}: {text}")),
                Ok(Line::Report(whole)) => drop(report.replace(Some(*whole))),
                Err(_) => say::line(String::from_utf8_lossy(line)),
            })
        })?;
        say::line(format!("upgrade: {name}: logs are in {}", out.display()));
        match (ending, report.into_inner()) {
            (Ending::Exited(0), Some(report)) => Ok(report),
            (Ending::EmulatorFault(fault), _) => bail!("{fault}; run it again"),
            (Ending::TimedOut, _) => bail!("{name}: not done within {} s", TIMEOUT.as_secs()),
            (Ending::Interrupted, _) => bail!("interrupted"),
            (Ending::Exited(status), _) => {
                bail!("{name}: the guest's program ended with status {status}, and says above why")
            }
        }
    }
}
