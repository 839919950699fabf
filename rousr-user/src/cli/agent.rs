//! `rousr agent`.

use std::{env, io::IsTerminal as _, process::ExitCode};

use anyhow::{Context as _, ensure};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{
    agent,
    transaction::{HostKeeper, Places},
};

/// Sets the log's detail, as in `ROUSR_LOG=debug`. Above `info` the BPF programs log too.
const LOG: &str = "ROUSR_LOG";

pub(super) fn run() -> anyhow::Result<ExitCode> {
    log_to_stderr()?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "the agent runs as root; start rousr.service"
    );
    let keeper = HostKeeper::open(Places::default())?;
    // One thread: each step is short, and the exact order of events is worth more than their
    // parallel handling.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(agent::run(keeper))?;
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
