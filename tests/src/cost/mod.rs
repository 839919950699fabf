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
use rousr_figures::cost::{
    CROWD, FLOOR, FOREIGN, Figure, IDLE, NEIGHBOUR, NOTHING, OPEN, ROUSR, Report, TMPFS, UNWATCHED,
    WATCHED,
};

use crate::{holds, task::must, wait};
use agent::Agent;
use files::{Files, name};
use floor::Floor;
use peers::{Mark, Tool};

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

    all(&mut report, "nothing at first", &files)?;
    let floor = Floor::attach(&programs.join("floor.bpf.o"))?;
    settle();
    all(&mut report, FLOOR, &files)?;
    drop(floor);
    settle();
    all(&mut report, NOTHING, &files)?;

    let agent = Agent::start(true)?;
    all(&mut report, ROUSR, &files)?;
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
        one(&mut report, IDLE, file, path)?;
    }
    drop(agent);
    peers(&mut report, &files, programs)?;
    while_open(&mut report, &files)?;
    Ok(report)
}

/// While newcomers are told, of each file its first opening. At the end: the agent writes files then, whose names
/// lie in the way to others.
fn while_open(report: &mut Report, files: &Files) -> anyhow::Result<()> {
    let agent = Agent::start(false)?;
    must("rousr unseal")?;
    agent.wait_until(true)?;
    for (file, path) in [
        (TMPFS, &files.tmpfs),
        (UNWATCHED, &files.unwatched),
        (NEIGHBOUR, &files.neighbour),
    ] {
        one(report, OPEN, file, path)?;
    }
    must("rousr seal")?;
    Ok(())
}

/// What rousr is compared with.
fn peers(report: &mut Report, files: &Files, programs: &Path) -> anyhow::Result<()> {
    let marked = Mark::filesystem(&files.unwatched)?;
    settle();
    one(
        report,
        "fanotify filesystem mark",
        UNWATCHED,
        &files.unwatched,
    )?;
    one(report, "fanotify filesystem mark", FOREIGN, &files.foreign)?;
    drop(marked);
    let marked = Mark::inode(&files.unwatched)?;
    settle();
    one(report, "fanotify inode mark", UNWATCHED, &files.unwatched)?;
    one(report, "fanotify inode mark", NEIGHBOUR, &files.neighbour)?;
    one(report, "fanotify inode mark", FOREIGN, &files.foreign)?;
    drop(marked);

    mount_tracefs()?;
    for tool in ["opensnoop", "filelife"] {
        let _running = Tool::start(&programs.join(tool))?;
        one(report, tool, UNWATCHED, &files.unwatched)?;
    }
    Ok(())
}

fn all(report: &mut Report, attached: &str, files: &Files) -> anyhow::Result<()> {
    for (file, path) in [
        (TMPFS, &files.tmpfs),
        (FOREIGN, &files.foreign),
        (UNWATCHED, &files.unwatched),
        (NEIGHBOUR, &files.neighbour),
        (WATCHED, &files.held),
    ] {
        one(report, attached, file, path)?;
    }
    let pair = crowd::measure(&name(&files.held)?)?;
    report.figures.push(Figure {
        attached: attached.into(),
        file: CROWD.into(),
        pair,
        open: None,
        close: None,
        settled: false,
    });
    Ok(())
}

fn one(report: &mut Report, attached: &str, file: &str, path: &Path) -> anyhow::Result<()> {
    let cost = pairs::measure(&name(path)?)?;
    report.figures.push(Figure {
        attached: attached.into(),
        file: file.into(),
        pair: cost.pair,
        open: Some(cost.open),
        close: Some(cost.close),
        settled: cost.settled,
    });
    Ok(())
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
