//! What it costs to tell who uses /usr, by rousr and by others.

pub(crate) mod crowd;
pub(crate) mod measured;
pub(crate) mod walk;

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use rousr_figures::attribution::Figures;

use crowd::Crowd;
use measured::{RUNS, Sample, output, row, silently, slow};
use walk::Walk;

use crate::{Background, wait};

/// Measures all.
///
/// # Errors
///
/// Fails where the guest lacks something, or the crowd is not as large as it should be.
pub fn run(floor: &Path) -> anyhow::Result<Figures> {
    let mut walk = Walk::load(floor)?;
    let _crowd = Crowd::start()?;
    let agent = start_agent();

    let mut figures = by_rousr()?;
    // In turn, so that what disturbs one disturbs the other.
    let mut bare = Vec::new();
    let mut holders = Vec::new();
    let mut table = Vec::new();
    let mut one = Vec::new();
    for _ in 0..RUNS {
        bare.push(Sample::of(|| walk.run())?);
        holders.push(Sample::of(|| {
            output("rousr", &["holders", "--all", "--json"])
        })?);
        table.push(Sample::of(|| silently("rousr", &["holders", "--all"]))?);
        one.push(Sample::of(|| {
            output("rousr", &["holders", "/usr/bin/env"])
        })?);
    }
    figures.rows = vec![
        row("bare pass of both iterators", bare),
        row("rousr holders --all --json", holders),
        row("rousr holders --all", table),
        row("rousr holders /usr/bin/env", one),
    ];
    drop(agent);
    for (name, line) in [
        (
            "rousr holders --all --json, by /proc",
            "rousr holders --all --json",
        ),
        ("fuser -m /usr", "fuser -m /usr"),
        ("fuser -vm /usr", "fuser -vm /usr"),
        ("fuser /usr/bin/env", "fuser /usr/bin/env"),
        ("lsof -n -w +f -- /usr", "lsof -n -w +f -- /usr"),
    ] {
        figures.rows.push(row(name, slow(line)?));
    }
    Ok(figures)
}

fn start_agent() -> Background {
    let agent = Background::agent().expect("the agent starts");
    wait(Duration::from_secs(60), "the agent answers", || {
        Command::new("rousr")
            .arg("status")
            .output()
            .is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("counts exactly"))
    });
    agent
}

/// The crowd, as rousr tells it.
fn by_rousr() -> anyhow::Result<Figures> {
    let text = output("rousr", &["holders", "--all", "--json"])?;
    let told: serde_json::Value = serde_json::from_slice(&text)?;
    ensure!(told["source"] == "bpf", "the agent has no BPF programs");
    let processes = told["processes"].as_array().context("no processes")?;
    let uses = || {
        processes
            .iter()
            .filter_map(|process| process["uses"].as_array())
            .flatten()
    };
    let figures = Figures {
        processes: processes.len(),
        mappings: uses().filter_map(|used| used["mappings"].as_u64()).sum(),
        descriptors: uses()
            .filter_map(|used| Some(used["descriptors"].as_array()?.len()))
            .sum(),
        bytes: text.len(),
        rows: Vec::new(),
    };
    ensure!(
        figures.processes >= crowd::PROCESSES && figures.mappings >= crowd::MAPPINGS,
        "the crowd is too small: {figures:?}"
    );
    Ok(figures)
}
