//! Points at which a test lets a process die. Without the feature `steps` there are none.

/// A point that is about to be passed; what it is called shows what would come next.
#[cfg(not(feature = "steps"))]
#[inline]
pub fn step(_what: &'static str) {}

#[cfg(feature = "steps")]
pub use armed::step;

#[cfg(feature = "steps")]
mod armed {
    use std::{
        env, fs,
        io::{self, Write as _},
        path::{Path, PathBuf},
        process,
        sync::{LazyLock, Mutex, PoisonError},
    };

    use crate::sys::process::{Signal, send};

    /// Names a file. Where it is there, each step of a process is noted in FILE.log; and its first line
    /// says how many steps are left until the process ends itself with SIGKILL, and is taken off then. The
    /// next line is for the next process. With 0, or once no line is left, none ends. Of several of the same
    /// kind in a row the first, the second, the fourth and so on are steps.
    const VARIABLE: &str = "ROUSR_STEPS";

    /// A point that is about to be passed; what it is called shows what would come next.
    pub fn step(what: &'static str) {
        static FILE: LazyLock<Option<PathBuf>> =
            LazyLock::new(|| env::var_os(VARIABLE).map(PathBuf::from));
        /// Threads take their steps one after the other.
        static LAST: Mutex<(&str, u64)> = Mutex::new(("", 0));
        let Some(file) = &*FILE else { return };
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let in_a_row = if last.0 == what { last.1 + 1 } else { 1 };
        *last = (what, in_a_row);
        // A hundred links in a row would leave little to die before but these.
        if !in_a_row.is_power_of_two() {
            return;
        }
        if let Err(error) = take(file, what) {
            eprintln!("{VARIABLE}: {}: {error}", file.display());
        }
    }

    fn take(file: &Path, what: &str) -> io::Result<()> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let left: u64 = first.trim().parse().unwrap_or(0);
        let dies = left == 1;
        let mut log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file.with_extension("log"))?;
        let end = if dies { " killed" } else { "" };
        writeln!(log, "{} {what}{end}", process::id())?;
        match left {
            0 => {}
            1 => fs::write(file, rest)?,
            _ => fs::write(file, format!("{}\n{rest}", left - 1))?,
        }
        if dies {
            send(process::id(), Signal::KILL)?;
        }
        Ok(())
    }
}
