//! Windows while others try to write.

use serde::{Deserialize, Serialize};

/// Everything measured in one guest.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Holds that lost their last holder, one after another.
    pub holds: u64,
    /// Holds that were not removed in time.
    pub kept: u64,
    /// Windows that were open, as the agent counts them.
    pub windows: u64,
    /// How long each was, microseconds, as the agent logs it.
    pub lasted: Vec<u64>,
    /// The same of windows before these, in which nobody tried to write.
    pub lasted_alone: Vec<u64>,
    /// Windows in which an onlooker saw the superblock writable and the mount read-only.
    pub seen: u64,
    /// Releases from which to the end of their window at least one attempt to write was refused.
    pub hammered: u64,
    /// Attempts through /usr.
    pub here: Attempts,
    /// Attempts in another mount namespace, through a mount of /usr that was writable there once.
    pub elsewhere: Attempts,
    /// 512-byte sectors that the windows wrote to the disk of /usr.
    pub sectors: u64,
    /// Times that the superblock was made writable and read-only again with nothing in between.
    pub flips: u64,
    /// Sectors that these wrote.
    pub flip_sectors: u64,
}

/// Attempts to write.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Attempts {
    /// Failed with EROFS.
    pub refused: u64,
    /// What succeeded.
    pub succeeded: Vec<String>,
    /// What failed with something else.
    pub odd: Vec<String>,
}

impl Attempts {
    /// Whether there were some, and all were refused.
    pub fn all_refused(&self) -> bool {
        self.refused > 0 && self.succeeded.is_empty() && self.odd.is_empty()
    }
}

impl Report {
    /// Whether each hold went in a window of its own in which everything else was refused.
    pub fn is_well(&self) -> bool {
        self.kept == 0
            && self.windows >= self.holds
            && self.seen > 0
            && self.hammered == self.holds
            && self.here.all_refused()
            && self.elsewhere.all_refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_write_spoils_it() {
        let refused = Attempts {
            refused: 7,
            ..Attempts::default()
        };
        let well = || Report {
            holds: 2,
            windows: 2,
            seen: 1,
            hammered: 2,
            here: refused.clone(),
            elsewhere: refused.clone(),
            ..Report::default()
        };
        assert!(well().is_well());
        let spoilt: [fn(&mut Report); 6] = [
            |report| report.here.succeeded.push("mkdir".into()),
            |report| report.elsewhere.odd.push("mkdir: ENOSPC".into()),
            |report| report.elsewhere.refused = 0,
            |report| report.hammered = 1,
            |report| report.kept = 1,
            |report| report.windows = 1,
        ];
        for spoil in spoilt {
            let mut report = well();
            spoil(&mut report);
            assert!(!report.is_well(), "{report:?}");
        }
    }
}
