//! Preserving and settling many files.

use serde::{Deserialize, Serialize};

/// What one guest measured.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `linkat` of each file into one directory, and nothing else.
    pub bare_links: Cost,
    /// `unlinkat` of each of these links, and nothing else.
    pub bare_unlinks: Cost,
    /// `rousr apt pre-install-pkgs`, with the agent's work.
    pub preserve: Cost,
    /// `rousr apt post-invoke`, with the agent's work: all is settled, and /usr is sealed.
    pub settle: Cost,
    /// The 2001 algorithm: a link for each file that is about to be replaced.
    pub shell_links: Cost,
    /// The 2001 algorithm: each link that `fuser` calls unused is removed.
    pub shell_unlinks: Cost,
    /// Files that had a hold after the first hook.
    pub held: u64,
    /// Holds that were left after the last one.
    pub left: u64,
    /// The agent's largest resident set, in KiB.
    pub agent_peak: u64,
    /// The largest of a hook's, in KiB.
    pub hook_peak: u64,
}

/// What a row took.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Files that it dealt with.
    pub files: u64,
    /// From its begin to its end, in milliseconds.
    pub wall: f64,
    /// Processor time of who did it, in milliseconds.
    pub processor: f64,
}

/// What preserving may take, in times of the bare calls.
pub const PRESERVE: f64 = 1.3;
/// What settling may take, in times of the bare calls.
pub const SETTLE: f64 = 1.6;
/// What a process of rousr's may have in memory, in KiB.
pub const MEMORY: u64 = 64 << 10;

impl Cost {
    /// Processor time in times of another's.
    pub fn over(&self, bare: &Self) -> f64 {
        self.processor / bare.processor
    }

    /// Wall time of a file, in microseconds.
    pub fn of_a_file(&self) -> f64 {
        self.wall * 1000.0 / self.files.max(1) as f64
    }
}

impl Report {
    /// What is over its limit.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let ratios = [
            ("preserving", self.preserve.over(&self.bare_links), PRESERVE),
            ("settling", self.settle.over(&self.bare_unlinks), SETTLE),
        ];
        for (what, ratio, limit) in ratios {
            // A ratio that is no number is none either.
            if ratio.is_nan() || ratio > limit {
                faults.push(format!(
                    "{what} took {ratio:.2} times the bare calls, more than {limit}"
                ));
            }
        }
        for (who, peak) in [("the agent", self.agent_peak), ("a hook", self.hook_peak)] {
            if peak == 0 || peak >= MEMORY {
                faults.push(format!(
                    "{who} had {peak} KiB in memory, not below {MEMORY}"
                ));
            }
        }
        if self.held != self.preserve.files || self.left > 0 {
            faults.push(format!(
                "{} of {} files were held, and {} holds are left",
                self.held, self.preserve.files, self.left
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_its_limit_is_told() {
        let cost = |processor| Cost {
            files: 10,
            wall: processor,
            processor,
        };
        let well = || Report {
            bare_links: cost(10.0),
            bare_unlinks: cost(10.0),
            preserve: cost(12.9),
            settle: cost(15.9),
            shell_links: cost(1000.0),
            shell_unlinks: cost(1000.0),
            held: 10,
            left: 0,
            agent_peak: MEMORY - 1,
            hook_peak: 1,
        };
        assert_eq!(well().faults(), [] as [String; 0]);
        let faults: [fn(&mut Report); 8] = [
            |report| report.preserve.processor = 13.1,
            |report| report.settle.processor = 16.1,
            |report| report.bare_links = Cost::default(),
            |report| report.agent_peak = MEMORY,
            |report| report.agent_peak = 0,
            |report| report.hook_peak = MEMORY,
            |report| report.held = 9,
            |report| report.left = 1,
        ];
        for (number, fault) in faults.iter().enumerate() {
            let mut report = well();
            fault(&mut report);
            assert_eq!(report.faults().len(), 1, "{number}");
        }
    }
}
