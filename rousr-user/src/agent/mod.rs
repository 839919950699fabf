//! The daemon: one event loop that is told of releases and asked by hooks.

pub mod client;
mod event_loop;
pub mod metrics;
pub mod protocol;
mod server;
pub mod status;

use std::path::Path;

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    hold::Lock,
    track::{Tracker, Untracked, bpf::BpfTracker},
    transaction::HostKeeper,
};
use event_loop::EventLoop;
use metrics::Metrics;

/// Held for as long as the agent lives, so that there is one.
const AGENT_LOCK: &str = "/run/rousr/agent.lock";

/// Calls that wait for the event loop.
const QUEUE: usize = 16;

/// Runs the agent until it is told to stop.
///
/// # Errors
///
/// Fails where another agent is running, or the sockets cannot be made.
pub async fn run(keeper: HostKeeper) -> anyhow::Result<()> {
    let _only = Lock::try_acquire(Path::new(AGENT_LOCK)).context("is another agent running?")?;
    let device = keeper.volume().device.encoded();
    match BpfTracker::load(device) {
        Ok(tracker) => serve(keeper, tracker).await,
        Err(error) => {
            tracing::warn!("no exact tracking, holds go at the next transaction only: {error}");
            serve(keeper, Untracked::new(error.to_string())).await
        }
    }
}

async fn serve(keeper: HostKeeper, tracker: impl Tracker) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let (sender, mut calls) = mpsc::channel(QUEUE);
    tokio::spawn(server::serve(
        server::bind(Path::new(protocol::SOCKET))?,
        sender,
    ));
    tokio::spawn(metrics.serve(server::bind(Path::new(metrics::SOCKET))?));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;

    let mut events = EventLoop::new(keeper, tracker, metrics);
    events.start();
    notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            news = events.tracker.news() => events.released(news),
            Some(call) = calls.recv() => events.answer(call),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping; holds and seal stay as they are");
    Ok(())
}

/// Without systemd there is nobody to tell.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd was not told of our state");
    }
}
