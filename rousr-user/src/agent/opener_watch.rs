//! Tells when one for whom the volume is writable may be gone without a word.

use std::{
    future::{self, poll_fn},
    os::fd::OwnedFd,
    path::Path,
    task::Poll,
    time::Duration,
};

use tokio::{io::unix::AsyncFd, time::sleep};

use crate::{
    dpkg::frontend::Release,
    sys::{clock::unix_seconds, process::end_of, readiness::readable},
    transaction::{Awaited, Frontend, Opener, Openings},
};

/// Where nobody has it open there is nothing to wait for.
#[derive(Debug, Default)]
pub(super) struct OpenerWatch {
    lock: Option<Release>,
    processes: Vec<Process>,
    /// In seconds since 1970.
    until: Option<u64>,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    /// None where it has ended before it could be watched.
    ended: Option<AsyncFd<OwnedFd>>,
}

impl OpenerWatch {
    /// Follows these openers and no others. dpkg's database is in `admin_dir`.
    pub(super) fn follow(&mut self, openings: &Openings, admin_dir: &Path) {
        let (mut is_locked, mut until, mut pids) = (false, None, Vec::new());
        for opener in openings.openers() {
            match opener {
                Opener::Transaction => match openings.frontends.awaited(Frontend::is_running) {
                    Awaited::Lock => is_locked = true,
                    Awaited::Deaths(of) => pids.extend(of.iter().map(|frontend| frontend.pid)),
                },
                Opener::Administrator { until: given } => until = given,
                Opener::Command { pid, .. } => pids.push(pid),
            }
        }
        self.lock = is_locked.then(|| Release::of(admin_dir));
        self.until = until;
        self.follow_processes(&pids);
    }

    fn follow_processes(&mut self, pids: &[u32]) {
        self.processes.retain(|process| pids.contains(&process.pid));
        for &pid in pids {
            if !self.processes.iter().any(|process| process.pid == pid) {
                let ended = match end_of(pid).and_then(readable) {
                    Ok(end) => Some(end),
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => None,
                    Err(error) => {
                        tracing::warn!("cannot wait for the end of process {pid}: {error}");
                        continue;
                    }
                };
                self.processes.push(Process { pid, ended });
            }
        }
    }

    /// Waits until one may be gone.
    pub(super) async fn next(&mut self) {
        let Self {
            lock,
            processes,
            until,
        } = self;
        tokio::select! {
            () = released(lock.as_ref()) => {}
            () = ended(processes) => {}
            () = reached(*until) => {}
        }
    }
}

async fn released(lock: Option<&Release>) {
    match lock {
        Some(release) => release.wait().await,
        None => future::pending().await,
    }
}

async fn ended(processes: &[Process]) {
    poll_fn(|context| {
        let any = processes.iter().any(|process| match &process.ended {
            Some(ended) => ended.poll_read_ready(context).is_ready(),
            None => true,
        });
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

async fn reached(until: Option<u64>) {
    match until {
        Some(until) => {
            let left = until.saturating_sub(unix_seconds());
            sleep(Duration::from_secs(left)).await;
        }
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::{seal::Level, transaction::Opening};

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(50);

    fn openings(openers: &[Opener]) -> Openings {
        let mut openings = Openings::new(Level::Sealed);
        for &opener in openers {
            openings.add(Opening { opener, began: 1 });
        }
        openings
    }

    #[tokio::test]
    async fn tells_when_a_command_ends() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("runs");
        let opener = Opener::Command {
            pid: child.id(),
            started: 1,
        };
        let nowhere = Path::new("/nowhere");
        let mut watch = OpenerWatch::default();
        watch.follow(&openings(&[opener]), nowhere);
        assert!(timeout(NEVER, watch.next()).await.is_err());
        child.kill().expect("killed");
        timeout(SOON, watch.next()).await.expect("told");
        child.wait().expect("ended");

        // One that has ended before is told at once, until it is followed no more.
        let mut watch = OpenerWatch::default();
        watch.follow(&openings(&[opener]), nowhere);
        timeout(SOON, watch.next()).await.expect("told");
        watch.follow(&openings(&[]), nowhere);
        assert!(timeout(NEVER, watch.next()).await.is_err());
    }

    #[tokio::test]
    async fn tells_when_the_time_is_over() {
        let mut watch = OpenerWatch::default();
        for (until, told) in [(None, false), (Some(7), true), (Some(u64::MAX / 4), false)] {
            let openings = openings(&[Opener::Administrator { until }]);
            watch.follow(&openings, Path::new("/nowhere"));
            let next = timeout(NEVER, watch.next()).await;
            assert_eq!(next.is_ok(), told, "{until:?}");
        }
    }
}
