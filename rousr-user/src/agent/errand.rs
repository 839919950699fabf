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
    track::{Tracker, Untracked, bpf::BpfTracker},
    transaction::{Error, HostKeeper, Opener, Outcome, Places},
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
    /// Make the volume writable for this opener, and keep what is in use.
    Open(Opener),
    /// What this opener wanted is done.
    Close(Opener),
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
        Step::Finish => end(&keeper, step, Opener::Transaction, note),
        Step::Open(opener) => Ok(keeper.open_and_preserve(*opener)?),
        Step::Close(opener) => end(&keeper, step, *opener, note),
    }
}

/// `None` where no agent does the step.
fn ask(step: &Step, note: &impl Fn(&str)) -> anyhow::Result<Option<Outcome>> {
    let agent = Client::default();
    let answer = match step {
        Step::Begin => agent.begin(),
        Step::Preserve(stream) => agent.preserve(stream),
        Step::Finish => agent.finish(),
        Step::Open(opener) => agent.open(*opener),
        Step::Close(opener) => agent.close(*opener),
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

/// Ends an opening in the agent's place. An agent that starts meanwhile would wait for an end that
/// it is never told: so it is either kept from starting, or told.
fn end(
    keeper: &HostKeeper,
    step: &Step,
    opener: Opener,
    note: impl Fn(&str),
) -> anyhow::Result<Outcome> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(_only) = only_agent(Duration::ZERO) {
            return end_alone(keeper, Ending::Of(opener));
        }
        if let Some(outcome) = ask(step, &note)? {
            return Ok(outcome);
        }
        thread::sleep(PAUSE);
    }
    Ok(keeper.close(&mut Untracked::new("no agent"), opener)?)
}

/// What ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// What this opener has open.
    Of(Opener),
    /// Whatever nobody has open any more.
    Abandoned,
}

impl Ending {
    fn carry_out(self, keeper: &HostKeeper, tracker: &mut impl Tracker) -> Result<Outcome, Error> {
        match self {
            Self::Of(opener) => keeper.close(tracker, opener),
            Self::Abandoned => keeper.end_abandoned(tracker),
        }
    }
}

/// Does what an agent does at its start, after one that has ended: settles and seals unless somebody has
/// the volume open. `None` where another agent runs, and has done it.
///
/// # Errors
///
/// As [`HostKeeper::end_abandoned`].
pub fn settle() -> anyhow::Result<Option<Outcome>> {
    let keeper = HostKeeper::open(Places::default())?;
    match only_agent(Duration::ZERO) {
        Ok(_only) => end_alone(&keeper, Ending::Abandoned).map(Some),
        Err(_) => Ok(None),
    }
}

/// What is left goes when somebody looks again: nobody is told of its end here.
///
/// With the counts that an agent has left where there are some: without them nobody can tell exactly
/// who has a file open as a path. They go on counting for the next agent.
fn end_alone(keeper: &HostKeeper, ending: Ending) -> anyhow::Result<Outcome> {
    if is_empty(keeper) {
        // Nothing to count: what the kernel's types look like need not be read, as at most boots.
        return Ok(ending.carry_out(keeper, &mut Untracked::new("nothing is held"))?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for the BPF programs");
    // Whatever is wrong with counting, /usr is to be sealed.
    let outcome = match runtime {
        Ok(runtime) => {
            let _entered = runtime.enter();
            allow_many_descriptors();
            match BpfTracker::load(settings(keeper)) {
                Ok(mut tracker) => ending.carry_out(keeper, &mut tracker),
                Err(error) => ending.carry_out(keeper, &mut Untracked::new(error.to_string())),
            }
        }
        Err(error) => ending.carry_out(keeper, &mut Untracked::new(format!("{error:#}"))),
    };
    Ok(Outcome {
        watched: false,
        ..outcome?
    })
}

/// Whether no file is held, nor may be.
fn is_empty(keeper: &HostKeeper) -> bool {
    keeper
        .holds()
        .is_ok_and(|listing| listing.holds.is_empty() && listing.strays.is_empty())
}

/// Each watched hold takes one, and apt's limit is a shell's. Where it cannot be raised a hold that finds
/// none is told.
fn allow_many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}
