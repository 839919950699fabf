//! The daemon: one event loop that is told of releases and asked by hooks.

mod batch;
pub mod blocker;
pub mod client;
pub mod command;
pub mod errand;
mod event_loop;
pub mod holders;
pub mod metrics;
pub mod names;
mod opener_watch;
pub mod orphans;
mod pace;
pub mod protocol;
pub mod remedy;
pub mod restart;
mod retry;
mod sealing;
mod server;
pub mod status;
pub mod switch;
pub mod verification;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    hold::{Lock, lock},
    sys::step::step,
    track::{
        Tracker, Untracked,
        bpf::{self, BpfTracker, RING_BYTES},
        fanotify::FanotifyTracker,
    },
    transaction::HostKeeper,
};
use event_loop::EventLoop;
use metrics::Metrics;

/// Held for as long as the agent lives, so that there is one.
const AGENT_LOCK: &str = "/run/rousr/agent.lock";

/// How long an agent that starts waits for a hook that does the work of one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls that wait for the event loop.
const QUEUE: usize = 16;

/// Runs the agent until it is told to stop. `ring_bytes` is the size of the BPF programs' ring
/// buffer.
///
/// # Errors
///
/// Fails where another agent is running, or the sockets cannot be made.
pub async fn run(keeper: HostKeeper, ring_bytes: u32) -> anyhow::Result<()> {
    let _only = only_agent(PATIENCE)?;
    let settings = bpf::Settings {
        ring_bytes,
        ..settings(&keeper)
    };
    let no_bpf = match BpfTracker::load(settings) {
        Ok(tracker) => return serve(keeper, tracker).await,
        Err(error) => error.to_string(),
    };
    match FanotifyTracker::open(&keeper.volume().mount_point, &no_bpf) {
        Ok(tracker) => {
            tracing::warn!("no exact tracking, closes are told by fanotify: {no_bpf}");
            serve(keeper, tracker).await
        }
        Err(no_fanotify) => {
            let reason = format!("{no_bpf}; {no_fanotify}");
            tracing::warn!("no tracking, holds go at the next transaction only: {reason}");
            serve(keeper, Untracked::new(reason)).await
        }
    }
}

/// Detaches every BPF program and drops what is counted. Holds and seal stay as they are. Tells
/// whether there was anything.
///
/// # Errors
///
/// Fails where an agent is running, which would go on counting.
pub fn detach_all() -> anyhow::Result<bool> {
    let _only = only_agent(PATIENCE)?;
    let layouts = bpf::detach_all().context("cannot remove the pins below /sys/fs/bpf/rousr")?;
    Ok(layouts > 0)
}

fn only_agent(patience: Duration) -> anyhow::Result<Lock> {
    Lock::acquire_timeout(Path::new(AGENT_LOCK), patience).map_err(|error| match error {
        lock::Error::Held { pid: Some(pid), .. } => {
            anyhow!("another agent is running, process {pid}")
        }
        lock::Error::Held { pid: None, .. } => anyhow!("another agent is running"),
        error @ lock::Error::Io { .. } => error.into(),
    })
}

fn settings(keeper: &HostKeeper) -> bpf::Settings {
    bpf::Settings {
        device: keeper.volume().device.encoded(),
        ring_bytes: RING_BYTES,
    }
}

async fn serve(keeper: HostKeeper, tracker: impl Tracker) -> anyhow::Result<()> {
    let metrics = Metrics::new(&tracker.health());
    let (sender, mut calls) = mpsc::channel(QUEUE);
    tokio::spawn(server::serve(
        server::bind(Path::new(protocol::SOCKET))?,
        sender,
    ));
    tokio::spawn(metrics.serve(server::bind(Path::new(metrics::SOCKET))?));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;

    step("settle at the start");
    let mut events = EventLoop::new(keeper, tracker, metrics);
    events.start();
    notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            news = events.tracker.news() => events.released(&news),
            () = events.batch.wait() => events.reap_batch(),
            () = events.doubtful.wait() => events.look_again(),
            () = events.sealing.wait() => events.seal_again(),
            () = events.resyncing.wait() => events.resync_again(),
            () = events.openers.next() => events.look_after_openers(),
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
