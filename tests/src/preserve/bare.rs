//! The calls that nobody can do without, in a loop that does nothing else.

use std::{
    fs,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rousr_figures::preserve::Cost;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, unlinkat},
    time::{ClockId, clock_gettime},
};

use super::ground::Ground;

/// Where the links are made, beside rousr's holds.
const FOLDER: &str = "/usr/.rousr-bare";

/// Links each file by its number, from its directory opened once; then unlinks each.
pub(super) fn measure(ground: &Ground) -> anyhow::Result<(Cost, Cost)> {
    fs::create_dir(FOLDER)?;
    let to = directory(FOLDER.as_ref())?;
    let numbers: Vec<String> = (ground.files.iter())
        .map(|file| file.inode.to_string())
        .collect();
    let files = ground.files.len();
    let links = cost_of(files, || {
        let mut from: Option<(&std::path::Path, OwnedFd)> = None;
        for (file, number) in ground.files.iter().zip(&numbers) {
            let opened = match from.take() {
                Some((folder, opened)) if folder == file.folder => opened,
                _ => directory(&file.folder)?,
            };
            linkat(&opened, &*file.name, &to, &**number, AtFlags::empty())?;
            from = Some((&file.folder, opened));
        }
        Ok(())
    })?;
    let unlinks = cost_of(files, || {
        for number in &numbers {
            unlinkat(&to, &**number, AtFlags::empty())?;
        }
        Ok(())
    })?;
    fs::remove_dir(FOLDER)?;
    Ok((links, unlinks))
}

fn directory(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

fn cost_of(files: usize, work: impl FnOnce() -> rustix::io::Result<()>) -> anyhow::Result<Cost> {
    let (began, busy) = (Instant::now(), processor());
    work()?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Cost {
        files: files as u64,
        wall: milliseconds(began.elapsed()),
        processor: milliseconds(processor().saturating_sub(busy)),
    })
}

/// Processor time of this process.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
