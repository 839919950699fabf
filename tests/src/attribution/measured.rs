//! Runs that are timed.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rousr_figures::attribution::Row;

/// Of how many runs the middle one counts. The slow ones run less often.
pub(crate) const RUNS: usize = 5;
const SLOW_RUNS: usize = 1;

/// Runs a line of words as often as the slow ones are.
pub(crate) fn slow(line: &str) -> anyhow::Result<Vec<Sample>> {
    let words: Vec<&str> = line.split(' ').collect();
    (0..SLOW_RUNS)
        .map(|_| Sample::of(|| silently(words[0], &words[1..])))
        .collect()
}

/// The middle run, as the tables have it.
pub(crate) fn row(name: &str, mut samples: Vec<Sample>) -> Row {
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
pub(crate) struct Sample {
    wall: Duration,
    /// Of all processes together: nothing else runs.
    processor: Duration,
}

impl Sample {
    pub(crate) fn of<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<Self> {
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
pub(crate) fn output(program: &str, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    Ok(output
        .with_context(|| format!("cannot run {program}"))?
        .stdout)
}

/// Runs a program that may write and end as it likes.
pub(crate) fn silently(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(())
}
