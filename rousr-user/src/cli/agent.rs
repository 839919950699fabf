//! `rousr agent`.

use std::{env, io::IsTerminal as _, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::output;
use crate::{
    agent::{self, errand, switch},
    track::bpf::RING_BYTES,
    transaction::{HostKeeper, Places},
};

/// Sets the log's detail, as in `ROUSR_LOG=debug`. Above `info` the BPF programs log too.
const LOG: &str = "ROUSR_LOG";

/// Run the agent in the foreground, as rousr.service does
///
/// What the kernel counts outlives an agent that ends while files are held, so that the next one
/// goes on from there.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Detach all BPF programs and drop their maps, of other versions too, and end; holds and seal
    /// stay as they are
    #[arg(long)]
    detach_all: bool,

    /// Settle the holds and make /usr read-only unless somebody has it open, and end; rousr.service does it
    /// when the agent has ended, and rousr-settle.service at boot
    #[arg(long, conflicts_with = "detach_all")]
    settle: bool,

    /// Run until /usr is read-only again and an agent can do the rest, as where a transaction began without
    /// one
    #[arg(long, conflicts_with_all = ["detach_all", "settle"])]
    guard: bool,

    /// Size of the BPF programs' ring buffer, a power of two of at least 4096; for tests
    #[arg(long, hide = true, value_name = "N", default_value_t = RING_BYTES)]
    ring_bytes: u32,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    log_to_stderr()?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "the agent runs as root; start rousr.service"
    );
    if arguments.detach_all {
        let text = match agent::detach_all()? {
            true => "detached; `systemctl start rousr` attaches again where files are held",
            false => "nothing was attached",
        };
        output::note(text);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.settle {
        if let Some(outcome) = errand::settle()? {
            output::warn_of(&outcome.warnings);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.guard && switch::is_disabled() {
        return Ok(ExitCode::SUCCESS);
    }
    let keeper = HostKeeper::open(Places::default())?;
    // One thread: each step is short, and the exact order of events is worth more than their
    // parallel handling.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let options = agent::Options {
        ring_bytes: arguments.ring_bytes,
        is_guard: arguments.guard,
    };
    let result = runtime.block_on(agent::run(keeper, options));
    // A thread that looks at processes may be held up by one: nobody waits for its answer any more.
    runtime.shutdown_background();
    result?;
    Ok(ExitCode::SUCCESS)
}

/// The journal adds its own time.
fn log_to_stderr() -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(LOG)
        .from_env()
        .with_context(|| format!("{LOG} is no log filter; try {LOG}=debug"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    if env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    Ok(())
}
