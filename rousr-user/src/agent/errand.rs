//! The agent's steps as others need them: it is asked, and where none answers its work is done here.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    client::{Client, ClientError},
    guard,
    place::{self, only_agent},
    settings, switch,
};
use crate::{
    dpkg::environment::Invocation,
    sys::{mount::is_read_only, process::allow_many_descriptors},
    track::{Tracker, Untracked, bpf::BpfTracker},
    transaction::{Error, Frontend, HostKeeper, Opener, Openings, Outcome, Places},
};

/// How long an agent that is about to run is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an agent takes to make its next step towards running.
const PAUSE: Duration = Duration::from_millis(50);

/// A step of a transaction.
#[derive(Clone, Debug)]
pub enum Step {
    /// Make the volume writable for this frontend's transaction.
    Begin(Option<Frontend>),
    /// Keep what the hook stream announces to be replaced or removed.
    Preserve(Vec<u8>),
    /// Settle the holds and seal, unless this frontend was inside of another's transaction.
    Finish(Option<Frontend>),
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
        Step::Begin(frontend) => {
            with_others(&keeper, |keeper| keeper.begin_by(*frontend)).map(guarded)
        }
        Step::Preserve(stream) => with_others(&keeper, |keeper| keeper.preserve(stream)),
        Step::Finish(frontend) => {
            end(&keeper, step, Ending::Transaction(*frontend), note).map(guarded)
        }
        Step::Open(opener) => {
            with_others(&keeper, |keeper| keeper.open_and_preserve(*opener)).map(guarded)
        }
        Step::Close(opener) => end(&keeper, step, Ending::Of(*opener), note).map(guarded),
    }
}

/// Whether dpkg would meet a read-only /usr. Where it cannot be told, dpkg will find out.
pub fn stays_read_only() -> bool {
    is_read_only(Path::new("/usr")).unwrap_or(false)
}

/// Whether the hooks of a frontend have done for this dpkg what its own are for.
pub fn is_announced(invocation: &Invocation) -> bool {
    // Where the record cannot be read nothing is known to be done.
    let openings = Openings::load(&Places::default().openings);
    is_announced_by(openings.ok().flatten().as_ref(), invocation)
}

fn is_announced_by(openings: Option<&Openings>, invocation: &Invocation) -> bool {
    let has_transaction = |openings: &Openings| {
        let mut openers = openings.openers();
        openers.any(|opener| opener == Opener::Transaction)
    };
    invocation.is_locked && openings.is_some_and(has_transaction)
}

/// Whether this frontend has begun a transaction, and has not told its end.
///
/// # Errors
///
/// The record of openers cannot be used.
pub fn has_begun(frontend: Frontend) -> anyhow::Result<bool> {
    let openings = Openings::load(&Places::default().openings)?;
    Ok(openings.is_some_and(|openings| openings.frontends.has(frontend)))
}

/// Takes a step with the volume, and then with the others below /usr: what goes wrong there is a
/// warning.
fn with_others<E>(
    keeper: &HostKeeper,
    take: impl Fn(&HostKeeper) -> Result<Outcome, E>,
) -> anyhow::Result<Outcome>
where
    anyhow::Error: From<E>,
{
    let mut outcome = take(keeper)?;
    let others = keeper.beside().unwrap_or_else(|error| {
        outcome.warnings.push(error.to_string());
        Vec::new()
    });
    for other in others {
        let taken = take(&other).map_err(anyhow::Error::from);
        outcome.add(&other.volume().mount_point, taken);
    }
    Ok(outcome)
}

/// Sees to it that an end to come is not missed.
fn guarded(mut outcome: Outcome) -> Outcome {
    if guard::is_needed(&outcome)
        && let Err(error) = guard::start()
    {
        let warning = format!(
            "{error:#}; /usr stays writable where its opener is killed, until the agent runs"
        );
        outcome.warnings.push(warning);
    }
    outcome
}

/// `None` where no agent does the step.
fn ask(step: &Step, note: &impl Fn(&str)) -> anyhow::Result<Option<Outcome>> {
    let agent = Client::default();
    let answer = match step {
        Step::Begin(frontend) => agent.begin(*frontend),
        Step::Preserve(stream) => agent.preserve(stream),
        Step::Finish(frontend) => agent.finish(*frontend),
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
    ending: Ending,
    note: impl Fn(&str),
) -> anyhow::Result<Outcome> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(_only) = only_agent(Duration::ZERO) {
            return with_others(keeper, |keeper| end_alone(keeper, ending));
        }
        if let Some(outcome) = ask(step, &note)? {
            return Ok(outcome);
        }
        thread::sleep(PAUSE);
    }
    with_others(keeper, |keeper| {
        ending.carry_out(keeper, &mut Untracked::new("no agent"))
    })
}

/// What ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The transaction of this frontend.
    Transaction(Option<Frontend>),
    /// What this opener has open.
    Of(Opener),
    /// Whatever nobody has open any more.
    Abandoned,
}

impl Ending {
    fn carry_out(self, keeper: &HostKeeper, tracker: &mut impl Tracker) -> Result<Outcome, Error> {
        match self {
            Self::Transaction(frontend) => keeper.finish_by(tracker, frontend),
            Self::Of(opener) => keeper.close(tracker, opener),
            Self::Abandoned => keeper.end_abandoned(tracker),
        }
    }
}

/// Does what an agent does at its start, after one that has ended: settles and seals unless somebody has
/// the volume open, whom a guard looks after then. `None` where another agent runs, and has done it, and
/// where rousr is disabled.
///
/// # Errors
///
/// As [`HostKeeper::end_abandoned`].
pub fn settle() -> anyhow::Result<Option<Outcome>> {
    if switch::is_disabled() {
        return Ok(None);
    }
    let keeper = HostKeeper::open(Places::default())?;
    let Some(only) = place::take_vacant()? else {
        return Ok(None);
    };
    let outcome = with_others(&keeper, |keeper| end_alone(keeper, Ending::Abandoned))?;
    // It is the guard's place.
    drop(only);
    Ok(Some(guarded(outcome)))
}

/// What is left goes when somebody looks again: nobody is told of its end here.
///
/// With the counts that an agent has left where there are some: without them nobody can tell exactly
/// who has a file open as a path. They go on counting for the next agent.
fn end_alone(keeper: &HostKeeper, ending: Ending) -> anyhow::Result<Outcome> {
    if is_empty(keeper) || stays_open(keeper, ending) {
        // Nothing to count: what the kernel's types look like need not be read, as at most boots.
        return Ok(ending.carry_out(keeper, &mut Untracked::new("nothing is settled"))?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for the BPF programs");
    // Whatever is wrong with counting, /usr is to be sealed.
    let outcome = match runtime {
        Ok(runtime) => {
            let _entered = runtime.enter();
            // Each watched hold takes one, and apt's limit is a shell's.
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

/// Whether somebody goes on, so that it is not the time to settle.
fn stays_open(keeper: &HostKeeper, ending: Ending) -> bool {
    let number = |openers: Result<Vec<Opener>, Error>| openers.map_or(0, |openers| openers.len());
    matches!(ending, Ending::Abandoned) && number(keeper.openers()) > number(keeper.abandoned())
}

/// Whether no file is held, nor may be.
fn is_empty(keeper: &HostKeeper) -> bool {
    keeper
        .census()
        .is_ok_and(|census| census.inodes.is_empty() && census.strays.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{seal::Level, transaction::Opening};

    #[test]
    fn a_dpkg_is_announced_where_it_is_locked_for_and_a_transaction_is_open() {
        let open_for = |opener| {
            let mut openings = Openings::new(Level::Sealed);
            openings.add(Opening { opener, began: 1 });
            Some(openings)
        };
        let by_hand = Opener::Administrator { until: None };
        for (openings, is_locked, expected) in [
            (open_for(Opener::Transaction), true, true),
            (open_for(Opener::Transaction), false, false),
            (open_for(by_hand), true, false),
            (Some(Openings::new(Level::Sealed)), true, false),
            (None, true, false),
        ] {
            let invocation = Invocation {
                is_locked,
                ..Invocation::default()
            };
            let found = is_announced_by(openings.as_ref(), &invocation);
            assert_eq!(found, expected, "{openings:?} {is_locked}");
        }
    }
}
