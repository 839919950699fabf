//! The agent's steps as others need them: it is asked, and where none answers its work is done here.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    client::{Client, ClientError},
    only_agent, settings,
};
use crate::{
    track::{Untracked, bpf::BpfTracker},
    transaction::{HostKeeper, Outcome, Places},
};

/// How long an agent that is about to run is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an agent takes to make its next step towards running.
const PAUSE: Duration = Duration::from_millis(50);

/// A step of a transaction.
#[derive(Clone, Debug)]
pub enum Step {
    /// Make the volume writable.
    Begin,
    /// Keep what the hook stream announces to be replaced or removed.
    Preserve(Vec<u8>),
    /// Settle the holds and seal.
    Finish,
}

/// Has a step done, and calls `note` with what went wrong on the way.
///
/// # Errors
///
/// The agent, or else the step itself, failed.
pub fn run(step: &Step, note: impl Fn(&str)) -> anyhow::Result<Outcome> {
    if let Some(outcome) = ask(step, &note)? {
        return Ok(outcome);
    }
    let keeper = HostKeeper::open(Places::default())?;
    match step {
        Step::Begin => Ok(keeper.begin()?),
        Step::Preserve(stream) => Ok(keeper.preserve(stream)?),
        Step::Finish => finish(&keeper),
    }
}

/// `None` where no agent does the step.
fn ask(step: &Step, note: impl Fn(&str)) -> anyhow::Result<Option<Outcome>> {
    let agent = Client::default();
    let answer = match step {
        Step::Begin => agent.begin(),
        Step::Preserve(stream) => agent.preserve(stream),
        Step::Finish => agent.finish(),
    };
    match answer {
        Ok(outcome) => Ok(Some(outcome)),
        Err(error @ ClientError::Failed(_)) => Err(error.into()),
        Err(ClientError::NotRunning) => Ok(None),
        Err(error) => {
            note(&format!("{error}; doing its work here"));
            Ok(None)
        }
    }
}

/// Ends a transaction in the agent's place. An agent that starts meanwhile would wait for an end that
/// it is never told: so it is either kept from starting, or told.
fn finish(keeper: &HostKeeper) -> anyhow::Result<Outcome> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(_only) = only_agent(Duration::ZERO) {
            return finish_alone(keeper);
        }
        if let Some(outcome) = ask(&Step::Finish, |_| ())? {
            return Ok(outcome);
        }
        thread::sleep(PAUSE);
    }
    Ok(keeper.finish(&mut Untracked::new("no agent"))?)
}

/// With the counts that an agent has left where there are some: without them nobody can tell exactly
/// who has a file open as a path. They go on counting for the next agent.
fn finish_alone(keeper: &HostKeeper) -> anyhow::Result<Outcome> {
    allow_many_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for the BPF programs")?;
    let _entered = runtime.enter();
    let outcome = match BpfTracker::load(settings(keeper)) {
        Ok(mut tracker) => keeper.finish(&mut tracker),
        Err(error) => keeper.finish(&mut Untracked::new(error.to_string())),
    };
    Ok(outcome?)
}

/// Each watched hold takes one, and apt's limit is a shell's.
fn allow_many_descriptors() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}
