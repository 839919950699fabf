//! When to look again at holds that nobody is known to use and that the kernel does not give up.
//!
//! What refers to them sends no event when it goes: a mount, a uprobe, a path lookup under way. Where
//! there is no such hold, there is no timer.

use std::{collections::HashMap, future, time::Duration};

use tokio::time::{Instant, sleep_until};

const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_secs(60);

/// The holds, each with the time of its next look.
#[derive(Debug, Default)]
pub(super) struct Retry {
    turns: HashMap<u64, Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    pause: Duration,
}

impl Retry {
    /// Looks again at this one, or no more. One that is new begins with a short pause; another goes
    /// on with its own.
    pub(super) fn set(&mut self, inode: u64, again: bool) {
        if again {
            self.turns.entry(inode).or_insert_with(|| Turn {
                due: Instant::now() + FIRST,
                pause: FIRST,
            });
        } else {
            self.turns.remove(&inode);
        }
    }

    /// Looks again at none.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }

    /// Those whose turn it is; their next pause is twice as long.
    pub(super) fn due(&mut self) -> Vec<u64> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (&inode, turn) in &mut self.turns {
            if turn.due <= now {
                due.push(inode);
                turn.pause = (turn.pause * 2).min(LAST);
                turn.due = now + turn.pause;
            }
        }
        due
    }

    /// Waits for the next turn; for ever where there is none.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let next = self.turns.values().map(|turn| turn.due).min();
        async move {
            match next {
                Some(next) => sleep_until(next).await,
                None => future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end() {
        let mut retry = Retry::default();
        retry.set(7, true);
        let begin = Instant::now();
        let mut turns = Vec::new();
        while turns.len() < 20 {
            retry.wait().await;
            assert_eq!(retry.due(), [7]);
            retry.set(7, true);
            turns.push(begin.elapsed());
        }
        assert_eq!(turns[..3], [10, 30, 70].map(Duration::from_millis));
        assert_eq!(turns[19] - turns[18], LAST);
        retry.set(7, false);
        assert!(retry.due().is_empty());
        let silence = tokio::time::timeout(Duration::from_secs(3600), retry.wait()).await;
        assert!(silence.is_err(), "there is no timer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_does_not_wait_for_the_old() {
        let mut retry = Retry::default();
        retry.set(1, true);
        for _ in 0..10 {
            retry.wait().await;
            assert_eq!(retry.due(), [1]);
        }
        retry.set(2, true);
        retry.wait().await;
        assert_eq!(retry.due(), [2]);
    }
}
