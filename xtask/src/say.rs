//! What a task does, said on stderr: a spinner on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

/// One line.
pub(crate) fn line(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// An error with its causes, outermost first.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// A step that takes a while: said when it starts and when it is done.
pub(crate) struct Step {
    name: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Starts step `name`, now `doing`.
    pub(crate) fn start(name: impl Into<String>, doing: &str) -> Self {
        let name = name.into();
        let spinner = stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        let step = Self {
            name,
            started: Instant::now(),
            spinner,
        };
        step.now(doing);
        step
    }

    /// The step goes on, now `doing`.
    pub(crate) fn now(&self, doing: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(format!("{}: {doing}", self.name)),
            None => eprintln!("{}: {doing}", self.name),
        }
    }

    /// The step is done: `outcome`.
    pub(crate) fn done(self, outcome: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!(
            "{}: {outcome} ({:.1} s)",
            self.name,
            self.started.elapsed().as_secs_f64()
        );
    }
}
