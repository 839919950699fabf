//! The guest's console, shown when a guest fails.

use std::fs;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::lab;
use crate::process::tail;

const TAIL_LINES: usize = 40;

/// Whether the kernel died of a breakpoint that it did not know any more; no code of ours has one.
pub(super) fn tells_emulator_fault(log: &Path) -> bool {
    const OOPS: &[u8] = b"Oops: int3";
    let content = fs::read(log).unwrap_or_default();
    content.windows(OOPS.len()).any(|bytes| bytes == OOPS)
}

/// Keeps the console's log and says its end and where the whole is.
pub(super) fn describe(log: &Path) -> Result<String> {
    static KEPT: AtomicU32 = AtomicU32::new(0);
    let content = fs::read(log).unwrap_or_default();
    if content.is_empty() {
        return Ok("its console said nothing".into());
    }
    let folder = lab::workspace().join("target/guests");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let number = KEPT.fetch_add(1, Ordering::Relaxed);
    let kept = folder.join(format!("console-{}-{number}.log", process::id()));
    fs::write(&kept, &content).with_context(|| format!("cannot write {}", kept.display()))?;
    let end = tail(&content, TAIL_LINES);
    Ok(format!(
        "the end of its console (all of it: {}):\n{end}",
        kept.display()
    ))
}
