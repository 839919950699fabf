//! When to try again what no event tells to.
//!
//! Where there is nothing to try, there is no timer.

use std::{collections::HashMap, future, hash::Hash, time::Duration};

use tokio::time::{Instant, sleep_until};

/// What to try, each with the time of its next turn.
#[derive(Debug)]
pub(super) struct Retry<T> {
    turns: HashMap<T, Turn>,
    first: Duration,
    last: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    pause: Duration,
}

impl<T: Copy + Eq + Hash> Retry<T> {
    /// With pauses that double from the first to the last.
    pub(super) fn new(first: Duration, last: Duration) -> Self {
        Self {
            turns: HashMap::new(),
            first,
            last,
        }
    }

    /// Tries this again, or no more. What is new begins with a short pause; another goes on with
    /// its own.
    pub(super) fn set(&mut self, what: T, again: bool) {
        if again {
            self.turns.entry(what).or_insert_with(|| Turn {
                due: Instant::now() + self.first,
                pause: self.first,
            });
        } else {
            self.turns.remove(&what);
        }
    }

    /// Tries nothing again.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }

    /// What has its turn; the next pause is twice as long.
    pub(super) fn due(&mut self) -> Vec<T> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (&what, turn) in &mut self.turns {
            if turn.due <= now {
                due.push(what);
                turn.pause = (turn.pause * 2).min(self.last);
                turn.due = now + turn.pause;
            }
        }
        due
    }

    /// Waits for the next turn; for ever where there is none.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<T> {
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

    const FIRST: Duration = Duration::from_millis(10);
    const LAST: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end() {
        let mut retry = Retry::new(FIRST, LAST);
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
        let mut retry = Retry::new(FIRST, LAST);
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
