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
    transaction::Opener,
};

/// Where nobody has it open there is nothing to wait for.
#[derive(Debug, Default)]
pub(super) struct OpenerWatch {
    frontend: Option<Release>,
    commands: Vec<Command>,
    /// In seconds since 1970.
    until: Option<u64>,
}

#[derive(Debug)]
struct Command {
    pid: u32,
    /// None where it has ended before it could be watched.
    ended: Option<AsyncFd<OwnedFd>>,
}

impl OpenerWatch {
    /// Follows these openers and no others. dpkg's database is in `admin_dir`.
    pub(super) fn follow(&mut self, openers: &[Opener], admin_dir: &Path) {
        match openers.contains(&Opener::Transaction) {
            true => {
                self.frontend.get_or_insert_with(|| Release::of(admin_dir));
            }
            false => self.frontend = None,
        }
        self.until = openers.iter().find_map(|opener| match opener {
            Opener::Administrator { until } => *until,
            Opener::Transaction | Opener::Command { .. } => None,
        });
        let pids: Vec<u32> = openers
            .iter()
            .filter_map(|opener| match opener {
                Opener::Command { pid, .. } => Some(*pid),
                Opener::Transaction | Opener::Administrator { .. } => None,
            })
            .collect();
        self.commands.retain(|command| pids.contains(&command.pid));
        for pid in pids {
            if !self.commands.iter().any(|command| command.pid == pid) {
                let ended = end_of(pid)
                    .and_then(readable)
                    .inspect_err(|error| tracing::debug!(pid, %error, "ended already"))
                    .ok();
                self.commands.push(Command { pid, ended });
            }
        }
    }

    /// Waits until one may be gone.
    pub(super) async fn next(&mut self) {
        let Self {
            frontend,
            commands,
            until,
        } = self;
        tokio::select! {
            () = released(frontend) => {}
            () = ended(commands) => {}
            () = reached(*until) => {}
        }
    }
}

async fn released(frontend: &mut Option<Release>) {
    match frontend {
        Some(release) => release.wait().await,
        None => future::pending().await,
    }
}

async fn ended(commands: &[Command]) {
    poll_fn(|context| {
        let any = commands.iter().any(|command| match &command.ended {
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

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(50);

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
        watch.follow(&[opener], nowhere);
        assert!(timeout(NEVER, watch.next()).await.is_err());
        child.kill().expect("killed");
        timeout(SOON, watch.next()).await.expect("told");
        child.wait().expect("ended");

        // One that has ended before is told at once, until it is followed no more.
        let mut watch = OpenerWatch::default();
        watch.follow(&[opener], nowhere);
        timeout(SOON, watch.next()).await.expect("told");
        watch.follow(&[], nowhere);
        assert!(timeout(NEVER, watch.next()).await.is_err());
    }

    #[tokio::test]
    async fn tells_when_the_time_is_over() {
        let mut watch = OpenerWatch::default();
        for (until, told) in [(None, false), (Some(7), true), (Some(u64::MAX / 4), false)] {
            watch.follow(&[Opener::Administrator { until }], Path::new("/nowhere"));
            let next = timeout(NEVER, watch.next()).await;
            assert_eq!(next.is_ok(), told, "{until:?}");
        }
    }
}
