//! The place of the only agent: a lock, for which agents, guards and hooks wait for each other.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;

use super::{Options, guard};
use crate::hold::{Lock, lock};

/// Held for as long as the agent lives, so that there is one.
const AGENT_LOCK: &str = "/run/rousr/agent.lock";

/// How long an agent that starts waits for a hook that does the work of one.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a guard and another agent wait for each other.
const GUARD_PATIENCE: Duration = Duration::from_secs(30);

/// How long one of them takes to make its next step.
const PAUSE: Duration = Duration::from_millis(50);

/// The place of the only agent, which a guard leaves to an agent. `None` for a guard where one is there.
pub(super) fn take(options: Options) -> anyhow::Result<Option<Lock>> {
    if options.is_guard {
        return wait_for_vacancy();
    }
    dismiss_guard();
    only_agent(PATIENCE).map(Some)
}

/// A hook that does the work of an agent is waited for: it may be killed over it.
fn wait_for_vacancy() -> anyhow::Result<Option<Lock>> {
    let end = Instant::now() + GUARD_PATIENCE;
    loop {
        match Lock::try_acquire(Path::new(AGENT_LOCK)) {
            Err(lock::Error::Held { pid, .. }) => {
                if pid.is_some_and(guard::is_agent) || Instant::now() > end {
                    tracing::info!("somebody else looks after /usr");
                    return Ok(None);
                }
                thread::sleep(PAUSE);
            }
            lock => return Ok(lock.map(Some)?),
        }
    }
}

/// Has a guard end where there is one, and waits for what it is at.
pub(super) fn dismiss_guard() {
    let end = Instant::now() + GUARD_PATIENCE;
    while let Err(lock::Error::Held { pid, .. }) = Lock::try_acquire(Path::new(AGENT_LOCK))
        && pid.is_none_or(guard::dismiss)
        && Instant::now() < end
    {
        thread::sleep(PAUSE);
    }
}

/// Takes it; `None` where an agent, guard or hook has it.
pub(super) fn take_vacant() -> anyhow::Result<Option<Lock>> {
    match Lock::try_acquire(Path::new(AGENT_LOCK)) {
        Err(lock::Error::Held { .. }) => Ok(None),
        lock => Ok(Some(lock?)),
    }
}

/// Takes it where no agent, guard or hook has it, or leaves it in time.
pub(super) fn only_agent(patience: Duration) -> anyhow::Result<Lock> {
    Lock::acquire_timeout(Path::new(AGENT_LOCK), patience).map_err(|error| match error {
        lock::Error::Held { pid: Some(pid), .. } => {
            anyhow!("another agent is running, process {pid}")
        }
        lock::Error::Held { pid: None, .. } => anyhow!("another agent is running"),
        error @ lock::Error::Io { .. } => error.into(),
    })
}
