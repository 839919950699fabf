//! Inodes that wait for the next window.

use std::{collections::BTreeMap, future};

use tokio::time::{Instant, sleep_until};

use crate::track::Release;

/// Where nothing waits, there is no timer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    waiting: Waiting,
    due: Option<Instant>,
}

/// Inodes to look at, with the last release where one is why.
pub(super) type Waiting = BTreeMap<u64, Option<Release>>;

impl Batch {
    /// These wait, too, for a window that may open at `due`.
    pub(super) fn add(
        &mut self,
        inodes: impl IntoIterator<Item = (u64, Option<Release>)>,
        due: Instant,
    ) {
        for (inode, released) in inodes {
            let known = self.waiting.entry(inode).or_default();
            if known.map(|known| known.at) < released.map(|released| released.at) {
                *known = released;
            }
        }
        if !self.waiting.is_empty() {
            self.due.get_or_insert(due);
        }
    }

    /// All that wait; none do any more.
    pub(super) fn take(&mut self) -> Waiting {
        self.due = None;
        std::mem::take(&mut self.waiting)
    }

    /// Waits until the window may open; for ever where nothing waits for it.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let due = self.due;
        async move {
            match due {
                // Not by the timer, which is late by up to a millisecond.
                Some(due) if due <= Instant::now() => {}
                Some(due) => sleep_until(due).await,
                None => future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn all_that_came_go_together_and_the_last_release_counts() {
        let mut batch = Batch::default();
        assert!(timeout(LONG, batch.wait()).await.is_err());
        let begin = Instant::now();
        let due = begin + Duration::from_secs(1);
        let at = |at| {
            Some(Release {
                inode: 7,
                at,
                by: None,
            })
        };
        batch.add([(7, at(1)), (8, None)], due);
        batch.add([(7, at(3)), (7, at(2)), (7, None)], due + LONG);
        batch.wait().await;
        assert_eq!(Instant::now(), due);
        assert_eq!(batch.take(), BTreeMap::from([(7, at(3)), (8, None)]));
        assert!(timeout(LONG, batch.wait()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_does_not_wait() {
        let mut batch = Batch::default();
        let begin = Instant::now();
        batch.add([(7, None)], begin);
        batch.wait().await;
        assert_eq!(Instant::now(), begin);
        // Nothing to wait for is no reason to wake up.
        batch.take();
        batch.add([], begin);
        assert!(timeout(LONG, batch.wait()).await.is_err());
    }
}
