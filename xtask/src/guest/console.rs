//! The guest's console, shown when a guest fails.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::lab;
use crate::process::tail;

const TAIL_LINES: usize = 40;

/// Why a guest can fail that did nothing wrong: what emulated CPUs in threads of their own get
/// wrong now and then, and no code of ours can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmulatorFault {
    /// The kernel patches its code while other CPUs run it (as it does to attach a BPF program),
    /// and a CPU can still run the breakpoint that stood there meanwhile.
    Breakpoint,
    /// An interrupt was lost and the kernel waits for it: its RCU thread, which no process can keep
    /// from running for long, has not run for minutes.
    Stall,
}

impl EmulatorFault {
    /// The one that the console tells.
    pub(super) fn told(log: &Path) -> Option<Self> {
        Self::parse(&fs::read(log).unwrap_or_default())
    }

    fn parse(console: &[u8]) -> Option<Self> {
        const OOPS: &str = "Oops: int3";
        /// From `rcu_check_gp_kthread_starvation`, kernel/rcu/tree_stall.h: told after 21 s of one
        /// grace period and then each 66 s. A busy host is not enough for the third.
        const STARVED: &str = "kthread starved for";
        const STARVED_FOR_GOOD: usize = 3;
        let console = String::from_utf8_lossy(console);
        if console.contains(OOPS) {
            Some(Self::Breakpoint)
        } else if console.matches(STARVED).count() >= STARVED_FOR_GOOD {
            Some(Self::Stall)
        } else {
            None
        }
    }
}

impl fmt::Display for EmulatorFault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let what = match self {
            Self::Breakpoint => {
                "the emulated CPU ran a breakpoint that the kernel had patched away (Oops: int3)"
            }
            Self::Stall => {
                "the emulated CPU lost an interrupt that the kernel waits for (RCU kthread starved)"
            }
        };
        write!(f, "{what}; the guest is not to blame")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_only_an_emulator_does() {
        let starved = "rcu: rcu_preempt kthread starved for 16502 jiffies! g9 f0x0 ->cpu=1\n";
        for (console, expected) in [
            (String::new(), None),
            ("Oops: 0000 [#1] PREEMPT SMP".into(), None),
            (
                "Oops: int3: 0000 [#1]".into(),
                Some(EmulatorFault::Breakpoint),
            ),
            (starved.repeat(2), None),
            (starved.repeat(3), Some(EmulatorFault::Stall)),
        ] {
            assert_eq!(
                EmulatorFault::parse(console.as_bytes()),
                expected,
                "{console}"
            );
        }
    }
}
