//! How soon after a window the next one may open.
//!
//! Each window turns the superblock's flag twice, which costs writes on disk. So a few come one
//! after another, and where they go on coming the pauses grow.

use std::time::Duration;

use tokio::time::Instant;

/// What follows a window within this waits, and shares the next: a process that ends lets go of one
/// file after another.
const SHORTEST: Duration = Duration::from_millis(5);

/// Windows that come with no longer pause.
const BURST: f64 = 8.0;

/// Windows that are forgotten in a second.
const COOLING: f64 = 1.0;

/// Without a window there is no pause.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    /// Windows that are not forgotten yet.
    heat: f64,
    last: Option<Instant>,
}

impl Pace {
    /// With pauses that grow to `longest`; none where that is zero.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            longest,
            heat: 0.0,
            last: None,
        }
    }

    /// A window has closed.
    pub(super) fn closed(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let cooled = now.saturating_duration_since(last).as_secs_f64() * COOLING;
            self.heat = (self.heat - cooled).max(0.0);
        }
        self.heat = (self.heat + 1.0).min(self.hottest());
    }

    /// When the next one may open; a time that is over means at once.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| last + self.pause())
    }

    fn pause(&self) -> Duration {
        let doublings = (self.heat - BURST).max(0.0);
        SHORTEST.mul_f64(doublings.exp2()).min(self.longest)
    }

    /// More would only make the pauses longer to forget.
    fn hottest(&self) -> f64 {
        let doublings = self.longest.as_secs_f64() / SHORTEST.as_secs_f64();
        BURST + doublings.max(1.0).log2().ceil()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    /// Windows as soon as they may open; the pauses before each.
    fn churn(pace: &mut Pace, from: Instant, windows: usize) -> (Vec<Duration>, Instant) {
        let mut now = from;
        let mut pauses = Vec::new();
        for _ in 0..windows {
            let next = pace.next(now).max(now);
            pauses.push(next - now);
            now = next;
            pace.closed(now);
        }
        (pauses, now)
    }

    #[test]
    fn the_first_opens_at_once_and_pauses_grow() {
        let mut pace = Pace::new(LONGEST);
        let begin = Instant::now();
        let (pauses, _) = churn(&mut pace, begin, 100);
        assert_eq!(pauses[0], Duration::ZERO);
        assert_eq!(pauses[1..8], [SHORTEST; 7]);
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert!(
            pauses[99] > LONGEST / 2 && pauses[99] <= LONGEST,
            "{pauses:?}"
        );
    }

    #[test]
    fn they_are_forgotten() {
        let mut pace = Pace::new(LONGEST);
        let (_, end) = churn(&mut pace, Instant::now(), 100);
        let later = end + Duration::from_secs(20);
        assert!(pace.next(later) <= later);
        let (pauses, _) = churn(&mut pace, later, 3);
        assert_eq!(pauses, [Duration::ZERO, SHORTEST, SHORTEST]);
    }

    #[test]
    fn one_now_and_then_never_waits() {
        let mut pace = Pace::new(LONGEST);
        let mut now = Instant::now();
        for _ in 0..100 {
            assert!(pace.next(now) <= now);
            pace.closed(now);
            now += Duration::from_secs(1);
        }
    }

    #[test]
    fn no_pause_can_be_asked_for() {
        let mut pace = Pace::new(Duration::ZERO);
        let (pauses, _) = churn(&mut pace, Instant::now(), 100);
        assert_eq!(pauses, [Duration::ZERO; 100]);
    }

    proptest! {
        #[test]
        fn windows_are_few_however_they_come(gaps in proptest::collection::vec(0..2000_u64, 1..200)) {
            let mut pace = Pace::new(LONGEST);
            let begin = Instant::now();
            let mut now = begin;
            for (windows, gap) in (1..).zip(gaps) {
                now = pace.next(now).max(now + Duration::from_millis(gap));
                pace.closed(now);
                prop_assert!(pace.next(now) <= now + LONGEST);
                // A burst, the way to the longest pause, and then hardly more than one in each.
                let most = 17.0 + 2.0 * (now - begin).as_secs_f64();
                prop_assert!(f64::from(windows) <= most, "{windows} windows in {:?}", now - begin);
            }
        }
    }
}
