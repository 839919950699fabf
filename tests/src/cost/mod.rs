//! What an open and a close cost, in instructions, by what is attached. For a guest whose clock
//! counts them (`cargo xtask vm --icount`), as root with a read-only /usr and no agent.

mod agent;
pub mod crowd;
mod files;
mod floor;
mod pairs;
mod peers;

use std::{fs, path::Path, thread, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

use crate::{holds, wait};
use agent::Agent;
use files::{Files, name};
use floor::Floor;
use peers::{Mark, Tool};

/// Everything measured in one guest.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Every figure, in the order measured.
    pub figures: Vec<Figure>,
}

/// What one file costs while something is attached, in instructions.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What is attached.
    pub attached: &'static str,
    /// Which file.
    pub file: &'static str,
    /// An open and a close.
    pub pair: u64,
    /// The open; absent for many processes.
    pub open: Option<u64>,
    /// The close; absent for many processes.
    pub close: Option<u64>,
    /// Whether it repeated itself.
    pub settled: bool,
}

/// The names of the files in a [`Figure`].
const TMPFS: &str = "tmpfs";
const FOREIGN: &str = "foreign";
const UNWATCHED: &str = "unwatched";
const NEIGHBOUR: &str = "neighbour";
const WATCHED: &str = "watched";
const CROWD: &str = "crowd";

/// Measures everything. `programs` holds the object of the empty programs, and the tools.
///
/// # Errors
///
/// Fails where something cannot be attached or a file cannot be opened.
pub fn run(programs: &Path) -> anyhow::Result<Report> {
    let mut files = Files::create()?;
    // What the kernel does in the first seconds after boot. The clock of an idle guest runs ahead.
    thread::sleep(Duration::from_secs(60));
    let mut report = Report::default();

    report.all("nothing at first", &files)?;
    let floor = Floor::attach(&programs.join("floor.bpf.o"))?;
    settle();
    report.all("empty programs", &files)?;
    drop(floor);
    settle();
    report.all("nothing", &files)?;

    let agent = Agent::start()?;
    report.all("rousr", &files)?;
    files.release()?;
    wait(Duration::from_secs(60), "the hold is reaped", || {
        holds().is_empty()
    });
    agent.wait_until(false)?;
    for (file, path) in [
        (TMPFS, &files.tmpfs),
        (FOREIGN, &files.foreign),
        (UNWATCHED, &files.unwatched),
    ] {
        report.one("rousr with nothing to watch", file, path)?;
    }
    drop(agent);
    peers(&mut report, &files, programs)?;
    Ok(report)
}

/// What rousr is compared with.
fn peers(report: &mut Report, files: &Files, programs: &Path) -> anyhow::Result<()> {
    let marked = Mark::filesystem(&files.unwatched)?;
    settle();
    report.one("fanotify filesystem mark", UNWATCHED, &files.unwatched)?;
    report.one("fanotify filesystem mark", FOREIGN, &files.foreign)?;
    drop(marked);
    let marked = Mark::inode(&files.unwatched)?;
    settle();
    report.one("fanotify inode mark", UNWATCHED, &files.unwatched)?;
    report.one("fanotify inode mark", NEIGHBOUR, &files.neighbour)?;
    report.one("fanotify inode mark", FOREIGN, &files.foreign)?;
    drop(marked);

    mount_tracefs()?;
    for tool in ["opensnoop", "filelife"] {
        let _running = Tool::start(&programs.join(tool))?;
        report.one(tool, UNWATCHED, &files.unwatched)?;
    }
    Ok(())
}

impl Report {
    fn all(&mut self, attached: &'static str, files: &Files) -> anyhow::Result<()> {
        for (file, path) in [
            (TMPFS, &files.tmpfs),
            (FOREIGN, &files.foreign),
            (UNWATCHED, &files.unwatched),
            (NEIGHBOUR, &files.neighbour),
            (WATCHED, &files.held),
        ] {
            self.one(attached, file, path)?;
        }
        let pair = crowd::measure(&name(&files.held)?)?;
        self.figures.push(Figure {
            attached,
            file: CROWD,
            pair,
            open: None,
            close: None,
            settled: false,
        });
        Ok(())
    }

    fn one(
        &mut self,
        attached: &'static str,
        file: &'static str,
        path: &Path,
    ) -> anyhow::Result<()> {
        let cost = pairs::measure(&name(path)?)?;
        self.figures.push(Figure {
            attached,
            file,
            pair: cost.pair,
            open: Some(cost.open),
            close: Some(cost.close),
            settled: cost.settled,
        });
        Ok(())
    }
}

/// Lets the kernel finish what an attach or a detach leaves to do.
fn settle() {
    thread::sleep(Duration::from_secs(5));
}

/// The tools look for their tracepoints there.
fn mount_tracefs() -> anyhow::Result<()> {
    const TRACEFS: &str = "/sys/kernel/tracing";
    if fs::exists(format!("{TRACEFS}/events"))? {
        return Ok(());
    }
    rustix::mount::mount(
        "tracefs",
        TRACEFS,
        "tracefs",
        rustix::mount::MountFlags::empty(),
        c"",
    )
    .with_context(|| format!("cannot mount {TRACEFS}"))
}
