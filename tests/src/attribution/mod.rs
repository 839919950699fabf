//! What it costs to tell who uses /usr, by rousr and by others.

mod crowd;
mod walk;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rousr_figures::attribution::{Figures, Row};

use crowd::Crowd;
use walk::Walk;

use crate::{Background, succeed, wait};

/// Of how many runs the middle one counts. The slow ones run less often.
const RUNS: usize = 5;
const SLOW_RUNS: usize = 1;

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

fn slow(line: &str) -> anyhow::Result<Vec<Sample>> {
    let words: Vec<&str> = line.split(' ').collect();
    (0..SLOW_RUNS)
        .map(|_| Sample::of(|| silently(words[0], &words[1..])))
        .collect()
}

fn start_agent() -> Background {
    succeed("mkdir -p /run/rousr /var/lib/rousr");
    let agent = Background::start("rousr agent 2>/run/agent.log");
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

fn row(name: &str, mut samples: Vec<Sample>) -> Row {
    samples.sort_by_key(|sample| sample.wall);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let middle = &samples[samples.len() / 2];
    Row {
        name: name.into(),
        wall: milliseconds(middle.wall),
        processor: milliseconds(middle.processor),
        range: [
            milliseconds(samples[0].wall),
            milliseconds(samples[samples.len() - 1].wall),
        ],
    }
}

/// One run.
struct Sample {
    wall: Duration,
    /// Of all processes together: nothing else runs.
    processor: Duration,
}

impl Sample {
    fn of<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<Self> {
        let busy = busy()?;
        let began = Instant::now();
        run()?;
        Ok(Self {
            wall: began.elapsed(),
            processor: self::busy()?.saturating_sub(busy),
        })
    }
}

/// Time that processors were not idle since boot: user, nice, system, irq, softirq.
fn busy() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&field| ticks.get(field))
        .sum::<u64>();
    Ok(Duration::from_millis(busy * 10))
}

/// What a program writes.
fn output(program: &str, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    Ok(output
        .with_context(|| format!("cannot run {program}"))?
        .stdout)
}

/// Runs a program that may write and end as it likes.
fn silently(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(())
}
