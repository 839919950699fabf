//! The daemon: one event loop that is told of releases and asked by hooks.

mod batch;
mod belongings;
mod beside;
pub mod blocker;
pub mod client;
pub mod command;
pub mod errand;
mod event_loop;
pub mod guard;
pub mod holders;
mod last_holder;
pub mod metrics;
mod mount_watch;
pub mod names;
mod opener_watch;
pub mod orphans;
mod pace;
mod place;
mod program;
pub mod protocol;
pub mod remedy;
pub mod restart;
mod retry;
mod sealing;
mod server;
mod service;
pub mod status;
pub mod switch;
pub mod verification;

use std::rc::Rc;

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    sys::{image, process::allow_many_descriptors, step::step},
    track::{
        Tracker, Untracked,
        bpf::{self, BpfTracker, RING_BYTES},
        fanotify::FanotifyTracker,
    },
    transaction::HostKeeper,
};
use belongings::Belongings;
use beside::{Beside, Open};
use event_loop::{Done, EventLoop};
use metrics::Metrics;
use mount_watch::MountWatch;
use service::Service;

/// What an agent is to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the BPF programs' ring buffer.
    pub ring_bytes: u32,
    /// Whether it ends once /usr is sealed and somebody else can do the rest.
    pub is_guard: bool,
}

/// Runs the agent until it is told to stop, or a guard until it is done.
///
/// # Errors
///
/// Fails where another agent is running, or the sockets cannot be made.
pub async fn run(keeper: HostKeeper, options: Options) -> anyhow::Result<()> {
    // A guard may have the limit of apt's shell.
    allow_many_descriptors();
    let inherited = Belongings::inherited()?;
    let is_new_image = inherited.is_some();
    let belongings = match inherited {
        Some(belongings) => {
            tracing::info!("a new image of this agent takes over");
            image::restore_name().context("cannot have a name")?;
            belongings
        }
        None => match place::take(options)? {
            Some(lock) => Belongings::new(lock)?,
            None => return Ok(()),
        },
    };
    let agent = Agent {
        keeper,
        belongings,
        options,
        is_new_image,
    };
    let load = move |keeper: &HostKeeper| {
        BpfTracker::load(bpf::Settings {
            ring_bytes: options.ring_bytes,
            ..settings(keeper)
        })
    };
    let no_bpf = match load(&agent.keeper) {
        Ok(tracker) => {
            let open = Rc::new(move |keeper: &HostKeeper| Ok(load(keeper)?));
            return agent.serve(tracker, open).await;
        }
        Err(error) => error.to_string(),
    };
    let why = no_bpf.clone();
    let mark = move |keeper: &HostKeeper| FanotifyTracker::open(&keeper.volume().mount_point, &why);
    match mark(&agent.keeper) {
        Ok(tracker) => {
            tracing::warn!("no exact tracking, closes are told by fanotify: {no_bpf}");
            let open = Rc::new(move |keeper: &HostKeeper| Ok(mark(keeper)?));
            agent.serve(tracker, open).await
        }
        Err(no_fanotify) => {
            let reason = format!("{no_bpf}; {no_fanotify}");
            tracing::warn!("no tracking, holds go at the next transaction only: {reason}");
            let tracker = Untracked::new(reason.clone());
            let open = Rc::new(move |_: &HostKeeper| Ok(Untracked::new(reason.clone())));
            agent.serve(tracker, open).await
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
    let _only = place::only_agent(place::PATIENCE)?;
    let layouts = bpf::detach_all().context("cannot remove the pins below /sys/fs/bpf/rousr")?;
    Ok(layouts > 0)
}

fn settings(keeper: &HostKeeper) -> bpf::Settings {
    bpf::Settings {
        device: keeper.volume().device.encoded(),
        ring_bytes: RING_BYTES,
    }
}

/// What an agent is made of, whatever tracks for it.
struct Agent {
    keeper: HostKeeper,
    belongings: Belongings,
    options: Options,
    is_new_image: bool,
}

impl Agent {
    async fn serve<T: Tracker>(self, tracker: T, open: Open<T>) -> anyhow::Result<()> {
        let Self {
            keeper,
            belongings,
            options,
            is_new_image,
        } = self;
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let metrics = Metrics::new(&tracker.health());
        let mut service = Service::start(&belongings, &metrics)?;

        let mut events = EventLoop::new(
            keeper,
            tracker,
            metrics,
            Beside::new(open),
            options.is_guard,
        );
        let mut mounts = MountWatch::new();
        step("settle at the start");
        events.start();
        if is_new_image {
            events.is_new_image();
        }
        notify(&[NotifyState::Ready]);
        loop {
            let is_relieved = options.is_guard && is_relieved(events.is_done());
            if is_relieved || events.is_outdated() {
                service.stop_listening();
            }
            tokio::select! {
                () = events.turn() => {}
                () = mounts.changed() => events.look_at_mounts(),
                call = service.next() => match call {
                    Some(call) => events.answer(call),
                    None if is_relieved => break,
                    None => {
                        // The new image begins with a look at all that this one has not come to.
                        let error = program::take_over(&belongings, options);
                        tracing::error!("cannot execute the agent anew: {error}; `systemctl restart rousr` does");
                        service = Service::start(&belongings, events.metrics())?;
                    }
                },
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        notify(&[NotifyState::Stopping]);
        tracing::info!("stopping; holds and seal stay as they are");
        Ok(())
    }
}

/// Whether a guard may go: holds are left to an agent, where one is to come.
fn is_relieved(done: Done) -> bool {
    match done {
        Done::Nothing => false,
        Done::Sealed => program::is_installed(),
        Done::All => true,
    }
}

/// Without systemd there is nobody to tell.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd was not told of our state");
    }
}
