//! What the agent's metrics say of a run in which it may have died.

use std::collections::BTreeMap;

/// Counters that begin anew with each of the agent's lives.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Of lives that are over.
    past: BTreeMap<String, u64>,
    now: BTreeMap<String, u64>,
}

impl Counters {
    /// Takes a look at the metrics. What a life counted between its last look and its end is lost.
    pub(super) fn look(&mut self, metrics: &str) {
        for (name, value) in metrics.lines().filter_map(sample) {
            let now = self.now.entry(name.to_owned()).or_default();
            if value < *now {
                *self.past.entry(name.to_owned()).or_default() += *now;
            }
            *now = value;
        }
    }

    /// The sum of all samples with this name, whatever their labels; `None` where there are none.
    pub(super) fn total(&self, name: &str) -> Option<u64> {
        self.sum(|sample| sample.split('{').next() == Some(name))
    }

    /// The same for one cause.
    pub(super) fn total_of(&self, name: &str, cause: &str) -> Option<u64> {
        let wanted = format!("{name}{{cause=\"{cause}\"}}");
        self.sum(|sample| sample == wanted)
    }

    fn sum(&self, is_wanted: impl Fn(&str) -> bool) -> Option<u64> {
        let sum = |counters: &BTreeMap<String, u64>| {
            counters
                .iter()
                .filter(|(key, _)| is_wanted(key))
                .map(|(_, value)| value)
                .copied()
                .reduce(|sum, value| sum + value)
        };
        let now = sum(&self.now)?;
        Some(now + sum(&self.past).unwrap_or(0))
    }
}

/// A sample that counts: name with labels, and value.
fn sample(line: &str) -> Option<(&str, u64)> {
    if line.starts_with('#') {
        return None;
    }
    let (name, value) = line.rsplit_once(' ')?;
    Some((name, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_life_adds_to_the_last() {
        let mut counters = Counters::default();
        assert_eq!(counters.total("rousr_losses_total"), None);
        for (full, other) in [(3, 1), (5, 1), (0, 2)] {
            counters.look(&format!(
                "# HELP rousr_losses Lost.\nrousr_losses_total{{cause=\"ring\"}} {full}\n\
                 rousr_losses_total{{cause=\"map\"}} {other}\nrousr_losses_total_other 9\n# EOF\n"
            ));
        }
        assert_eq!(counters.total("rousr_losses_total"), Some(5 + 2));
        assert_eq!(counters.total_of("rousr_losses_total", "ring"), Some(5));
        assert_eq!(counters.total_of("rousr_losses_total", "nothing"), None);
    }
}
