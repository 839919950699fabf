//! The 2001 algorithm, written anew in shell: a link for every file that is about to be replaced; later each goes that
//! `fuser` calls unused.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use rousr_figures::preserve::Cost;

use super::ground::Made;

const LINK: &str = r#"
mkdir -p "$HELD"
while IFS= read -r file; do
    [ -f "$file" ] && [ ! -L "$file" ] && ln "$file" "$HELD/$(stat -c %i "$file")"
done
"#;

const UNLINK: &str = r#"
for held in "$HELD"/*; do
    fuser -s "$held" || rm "$held"
done
rmdir "$HELD"
"#;

/// Links these files and unlinks them, none of which is in use.
pub(super) fn measure(files: &[Made]) -> anyhow::Result<(Cost, Cost)> {
    const LIST: &str = "/run/rousr-many";
    let paths = files.iter().map(|file| file.folder.join(&file.name));
    let lines: String = paths.map(|path| format!("{}\n", path.display())).collect();
    fs::write(LIST, lines)?;
    let links = cost_of(files.len(), LINK, LIST)?;
    let unlinks = cost_of(files.len(), UNLINK, "/dev/null")?;
    Ok((links, unlinks))
}

fn cost_of(files: usize, script: &str, input: &str) -> anyhow::Result<Cost> {
    let (began, busy) = (Instant::now(), processor()?);
    let status = Command::new("sh")
        .args(["-c", script])
        .env("HELD", "/usr/.held-2001")
        .stdin(fs::File::open(input)?)
        .stderr(Stdio::null())
        .status()
        .context("cannot run sh")?;
    ensure!(status.success(), "the script ended with {status}");
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Cost {
        files: files as u64,
        wall: milliseconds(began.elapsed()),
        processor: milliseconds(processor()?.saturating_sub(busy)),
    })
}

/// Processor time of processes that have ended.
fn processor() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let of = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec() as u32 * 1000)
    };
    Ok(of(usage.user_time()) + of(usage.system_time()))
}
