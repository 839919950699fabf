//! The instructions of an open and a close, by the clock of a guest that counts them.

use std::{ffi::CStr, hint::black_box, io, thread, time::Duration};

use anyhow::Context as _;
use rustix::{
    fs::{Mode, OFlags, open},
    time::{ClockId, clock_gettime},
};

use crate::Background;

/// Enough for what the kernel does once in a while, such as refilling a list of free objects, to
/// show in a batch; short enough that most batches see no tick of the timer.
const PAIRS: u64 = 64;
const BATCHES: usize = 65;

/// The kernel keeps a path in the page that was given back last. One that begins a compound page is
/// found in three instructions less, and one of eight does. So each round has another page: the
/// last ones are kept busy by so many programs that wait in an open of their own.
const BUSY: [usize; 3] = [0, 1, 2];

/// What one file costs, in instructions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cost {
    /// An open and a close.
    pub(super) pair: u64,
    /// The open of it.
    pub(super) open: u64,
    /// The close of it.
    pub(super) close: u64,
    /// Whether most rounds came to the same.
    pub(super) settled: bool,
}

/// Opens and closes `path`: the median of three rounds.
///
/// # Errors
///
/// Fails where it cannot be opened.
pub(super) fn measure(path: &CStr) -> anyhow::Result<Cost> {
    let mut rounds = Vec::with_capacity(BUSY.len());
    for busy in BUSY {
        let _waiting = (0..busy)
            .map(|_| Background::start("cat /run/cost/fifo"))
            .collect::<Vec<_>>();
        thread::sleep(Duration::from_secs(1));
        rounds.push(round(path).with_context(|| format!("cannot open {path:?}"))?);
    }
    rounds.sort_unstable_by_key(|cost| cost.pair);
    let median = rounds[BUSY.len() / 2];
    let agreeing = rounds.iter().filter(|&&cost| cost == median).count();
    Ok(Cost {
        settled: agreeing > BUSY.len() / 2,
        ..median
    })
}

/// Opens and closes `path` so many times.
///
/// # Errors
///
/// Fails where it cannot be opened.
pub(super) fn repeat(path: &CStr, pairs: u64) -> io::Result<()> {
    for _ in 0..pairs {
        drop(open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    }
    Ok(())
}

/// Nanoseconds, and so instructions, since some moment.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicRaw);
    // A clock that starts at boot is never negative.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

fn round(path: &CStr) -> io::Result<Cost> {
    let mut clocks = Vec::with_capacity(BATCHES);
    let mut pairs = Vec::with_capacity(BATCHES);
    let (mut opens, mut closes) = (Vec::with_capacity(BATCHES), Vec::with_capacity(BATCHES));
    for _ in 0..BATCHES {
        let began = now();
        clocks.push(black_box(now()) - began);
        let began = now();
        repeat(path, PAIRS)?;
        pairs.push(now() - began);

        let began = now();
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let opened = now();
        drop(file);
        let closed = now();
        opens.push(opened - began);
        closes.push(closed - opened);
    }
    let clock = median(clocks);
    Ok(Cost {
        pair: (median(pairs) - clock + PAIRS / 2) / PAIRS,
        open: median(opens) - clock,
        close: median(closes) - clock,
        settled: false,
    })
}

pub(super) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
