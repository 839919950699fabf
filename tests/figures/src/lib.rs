//! What the tests' programs in guests and the tasks that start them say to each other, as JSON.

pub mod attribution;
pub mod blockers;
pub mod cost;
pub mod kills;
pub mod latency;
pub mod powercut;
pub mod preserve;
pub mod sealing;
pub mod torture;
pub mod upgrade;
pub mod windows;

/// The smallest of `sorted` that at least `percent` of them do not exceed; nothing comes of nothing.
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let percentiles = [0, 50, 51, 99, 100].map(|percent| percentile(&[10, 90], percent));
        assert_eq!(percentiles, [10, 10, 90, 90, 90].map(Some));
        assert_eq!(percentile(&[], 50), None);
    }
}
