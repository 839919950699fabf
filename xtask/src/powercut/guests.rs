//! The guests around a cut: one that is recorded, and one for each cut that is booted from what is left.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rousr_figures::powercut::{Findings, Line, Mark, Task};

use crate::guest::{Disks, Ending, Guest, disk};
use crate::install::{self, Installed};
use crate::lab::demo_package;
use crate::lab::kernel::Kernel;
use crate::lines::Lines;
use crate::{cargo, say};

const TIMEOUT: Duration = Duration::from_secs(900);

/// How often a guest is begun anew that falls to the emulator.
const TRIES: u32 = 6;

/// What the guests are given.
pub(super) struct Guests {
    kernel: Kernel,
    share: PathBuf,
    installed: Vec<Installed>,
    /// The disks as they were, and the log.
    pub(super) before: PathBuf,
    /// The disks as a cut left them.
    pub(super) after: PathBuf,
}

/// A mark, and how long the log was then.
pub(super) type Marks = Vec<(Mark, u64)>;

impl Guests {
    pub(super) fn build(kernel: Kernel, with_rousr: bool, folder: &Path) -> Result<Self> {
        let installed = match with_rousr {
            true => install::build(false)?,
            false => Vec::new(),
        };
        let share = folder.join("share");
        let guests = Self {
            kernel,
            installed,
            before: folder.join("before"),
            after: folder.join("after"),
            share,
        };
        for folder in [&guests.share, &guests.before, &guests.after] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for version in ["1.0", "2.0"] {
            demo_package::build(version, &guests.share)?;
        }
        cargo::plain_guest_program("powercut", &guests.share)?;
        Ok(guests)
    }

    /// Records the upgrade and the holders' ends.
    pub(super) fn record(&self, with_rousr: bool) -> Result<Marks> {
        for attempt in 1.. {
            for name in disk::NAMES {
                let _ = fs::remove_file(disk::file(&self.before, name));
            }
            disk::make(&self.before)?;
            disk::join(&self.before)?;
            let mut marks = Marks::new();
            let log = self.before.join(disk::LOG);
            let (ending, said) = self.run(
                Disks::Logged(self.before.clone()),
                self.installed.clone(),
                &Task::Record { with_rousr },
                |line| {
                    if let Line::Mark(mark) = line {
                        let length = fs::metadata(&log).map_or(0, |log| log.len());
                        say::line(format!("powercut: {mark:?}, {} KiB logged", length >> 10));
                        marks.push((mark, length));
                    }
                },
            )?;
            match ending {
                Ending::Exited(0) if marks.len() == 3 => return Ok(marks),
                Ending::EmulatorFault(fault) if attempt < TRIES => {
                    say::line(format!("powercut: {fault}: recorded anew"));
                }
                ending => bail!("the recording ended with {ending:?}\n{said}"),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Boots from what the cut left, and has it looked at.
    pub(super) fn judge(&self, with_rousr: bool) -> Result<Findings> {
        for attempt in 1.. {
            let mut findings = None;
            let (ending, said) = self.run(
                Disks::Thrown(self.after.clone()),
                // They are on the disks.
                Vec::new(),
                &Task::Judge { with_rousr },
                |line| {
                    if let Line::Findings(found) = line {
                        findings = Some(found);
                    }
                },
            )?;
            match (ending, findings) {
                (Ending::Exited(0), Some(findings)) => return Ok(findings),
                (Ending::EmulatorFault(fault), _) if attempt < TRIES => {
                    say::line(format!("powercut: {fault}: booted anew"));
                }
                (Ending::Interrupted, _) => bail!("interrupted"),
                (ending, _) => {
                    let fault = format!("the boot ended with {ending:?}: {said}");
                    return Ok(Findings {
                        unsealed: 1,
                        faults: vec![fault],
                        ..Findings::default()
                    });
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    fn run(
        &self,
        disks: Disks,
        installed: Vec<Installed>,
        task: &Task,
        mut each: impl FnMut(Line),
    ) -> Result<(Ending, String)> {
        let guest = Guest {
            disks,
            installed,
            timeout: TIMEOUT,
            share: Some(self.share.clone()),
            ..Guest::systemd(self.kernel)
        };
        let command: [OsString; 2] = [
            "/run/share/powercut".into(),
            serde_json::to_string(task)?.into(),
        ];
        let mut said = String::new();
        let mut output = Lines::new(|line: &[u8]| match serde_json::from_slice(line) {
            Ok(line) => each(line),
            Err(_) => {
                said += &String::from_utf8_lossy(line);
                said.push('\n');
            }
        });
        let ending = guest.run(&command, &mut output)?;
        drop(output);
        Ok((ending, said))
    }
}

/// What a filesystem check says about the disks in `folder`, where it is more than that the journal had to
/// be replayed.
pub(super) fn check(folder: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for name in disk::NAMES {
        let image = disk::file(folder, name);
        // As at a boot: the journal, and inodes without a name that were in use.
        let (status, said) = e2fsck("-pf", &image)?;
        if status > 1 {
            faults.push(format!("e2fsck -p of {name}: {said}"));
        }
        let (status, said) = e2fsck("-fn", &image)?;
        if status != 0 {
            faults.push(format!("e2fsck -n of {name}: {said}"));
        }
    }
    Ok(faults)
}

fn e2fsck(how: &str, image: &Path) -> Result<(i32, String)> {
    let program = crate::process::find("e2fsck").context("no e2fsck: install e2fsprogs")?;
    let output = Command::new(program).arg(how).arg(image).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code().is_some(), "e2fsck was killed");
    Ok((output.status.code().unwrap_or(8), said))
}
