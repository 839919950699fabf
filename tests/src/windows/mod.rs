//! Window after window while others try to write. For a guest with systemd, as root, with rousr installed and
//! nothing held.

mod disk;
mod elsewhere;
mod hammer;
mod onlooker;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rousr_figures::windows::Report;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{HOLDS, is_sealed, log, made, metric, status, succeed, wait};
use elsewhere::Elsewhere;
use hammer::Hammer;
use onlooker::Onlooker;

/// A hold is removed within that.
const LIMIT: Duration = Duration::from_secs(10);
/// The agent sleeps again.
const PAUSE: Duration = Duration::from_millis(20);
/// The settings, for which there is no file in a guest.
const CONFIG: &str = "/etc/rousr/rousr.conf";

/// What the process in another mount namespace does, which [`run`] starts.
///
/// # Errors
///
/// Fails where /usr is not writable there at first.
pub fn serve() -> anyhow::Result<()> {
    elsewhere::serve()
}

/// Has so many holds go one after another, each in a window of its own, and flips the flag as often with
/// nothing to do. `other` is a program that calls [`serve`].
///
/// # Errors
///
/// Fails where holds cannot be made or the agent does not start.
pub fn run(holds: usize, other: &Command) -> anyhow::Result<Report> {
    succeed("systemctl stop rousr; rousr agent --detach-all; mount -o remount,rw /usr");
    // Each release gets a window at once.
    fs::create_dir_all("/etc/rousr")?;
    fs::write(CONFIG, "window-pause = \"0s\"\n")?;
    hammer::prepare()?;
    let alone = holds / 5;
    allow_files((alone + holds) as u64 + 100)?;
    let mut held = (0..alone + holds)
        .map(|_| made::hold())
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut elsewhere = Elsewhere::start(other)?;
    ensure!(elsewhere.flag()? == "rw", "its mount is writable");
    succeed("mount -o remount,ro /usr && systemctl start rousr");
    wait(
        Duration::from_secs(60),
        "the agent watches every hold",
        || status()["agent"]["watched"] == alone + holds,
    );
    ensure!(elsewhere.flag()? == "ro", "the agent seals its mount");

    let mut report = Report {
        holds: holds as u64,
        flips: holds as u64,
        ..Report::default()
    };
    for (inode, holder) in held.drain(..alone) {
        drop(holder);
        ensure!(is_gone(inode), "hold {inode} stays");
        thread::sleep(PAUSE);
    }
    let windows = metric("rousr_windows_total");
    let sectors = disk::sectors()?;
    elsewhere.begin()?;
    let hammer = Hammer::start();
    let onlooker = Onlooker::start();
    for (inode, holder) in held {
        let refused = hammer.refused();
        drop(holder);
        report.kept += u64::from(!is_gone(inode));
        report.hammered += u64::from(hammer.refused() > refused);
    }
    report.seen = onlooker.stop()?;
    report.here = hammer.stop()?;
    report.elsewhere = elsewhere.stop()?;
    report.sectors = disk::sectors()? - sectors;
    report.windows = (metric("rousr_windows_total") - windows) as u64;
    let journal = succeed(
        "journalctl --sync; journalctl --no-pager -o cat \
         _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID rousr)",
    );
    report.lasted_alone = log::of_reaps(&journal, "window_us");
    report.lasted = report
        .lasted_alone
        .split_off(alone.min(report.lasted_alone.len()));

    let sectors = disk::sectors()?;
    disk::flip(report.flips)?;
    report.flip_sectors = disk::sectors()? - sectors;
    fs::remove_file(CONFIG)?;
    succeed("systemctl restart rousr");
    Ok(report)
}

/// Whether a hold goes in time, and leaves /usr sealed.
fn is_gone(inode: u64) -> bool {
    let hold = Path::new(HOLDS).join(inode.to_string());
    let end = Instant::now() + LIMIT;
    while hold.exists() || !is_sealed() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Each holder is a descriptor of this process.
fn allow_files(count: u64) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.current.max(Some(count));
    setrlimit(Resource::Nofile, limit).context("cannot have so many files open")
}
