//! What is wrong at a quiet point: the model against the hold directory and against rousr's counts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::holdings::Count;
use crate::verify::Verification;

/// How many of a kind are told one by one.
const TOLD: usize = 10;

/// Numbers of regular open files, by inode number.
pub(super) type Counts = BTreeMap<u64, u64>;

/// What differs from the model.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Inodes whose count is wrong.
    pub(super) drift: u64,
    /// Inodes in use without a hold.
    pub(super) premature: u64,
    /// Holds of inodes that nobody uses.
    pub(super) missed: u64,
    /// Files that no task reaches and rousr does not count; that is no drift.
    pub(super) dark: u64,
    /// The first of each, in words.
    pub(super) told: Vec<String>,
}

impl Findings {
    pub(super) fn is_clean(&self) -> bool {
        self.drift == 0 && self.premature == 0 && self.missed == 0
    }

    fn tell(&mut self, text: String) {
        if self.told.len() < 3 * TOLD {
            self.told.push(text);
        }
    }
}

/// What there is at a quiet point.
pub(super) struct Scene {
    /// What the workers hold, by inode number.
    pub(super) model: BTreeMap<u64, Count>,
    /// The package's installed files: rousr counts only what has no other name than its hold.
    pub(super) public: BTreeSet<u64>,
}

impl Scene {
    /// Compares with the inode numbers in the hold directory, and with rousr's counts.
    pub(super) fn judge(&self, holds: &BTreeSet<u64>, counts: &Counts) -> Findings {
        let mut findings = Findings::default();
        for (inode, count) in self.held() {
            if !holds.contains(&inode) {
                findings.premature += 1;
                findings.tell(format!("inode {inode}: {count:?} and no hold"));
                continue;
            }
            let counted = counts.get(&inode).copied();
            match counted.filter(|known| (count.visible..=count.regular).contains(known)) {
                // What no task reached when the count began is left to the kernel's own.
                Some(known) => findings.dark += count.regular - known,
                None => {
                    findings.drift += 1;
                    findings.tell(format!("inode {inode}: {count:?}, counted {counted:?}"));
                }
            }
        }
        for inode in holds.iter().filter(|inode| !self.model.contains_key(inode)) {
            findings.missed += 1;
            let counted = counts.get(inode);
            findings.tell(format!(
                "inode {inode}: no holder and a hold, counted {counted:?}"
            ));
        }
        findings
    }

    /// Compares with the kernel's counts, whose differences are errors of the model's.
    pub(super) fn check_model(&self, kernel: &Counts) -> Findings {
        let mut findings = Findings::default();
        for (inode, count) in self.held() {
            let found = kernel.get(&inode).copied();
            if found != Some(count.regular) {
                findings.drift += 1;
                findings.tell(format!(
                    "inode {inode}: {count:?}, the kernel's count is {found:?}"
                ));
            }
        }
        findings
    }

    fn held(&self) -> impl Iterator<Item = (u64, Count)> {
        let held = self.model.iter().map(|(&inode, &count)| (inode, count));
        held.filter(|(inode, _)| !self.public.contains(inode))
    }
}

/// Reads `rousr status --json`.
pub(super) fn counted(json: &[u8]) -> Result<Counts> {
    #[derive(Deserialize)]
    struct Hold {
        inode: u64,
        count: Option<u64>,
    }
    #[derive(Deserialize)]
    struct Status {
        holds: Vec<Hold>,
    }
    let status: Status = serde_json::from_slice(json).context("`rousr status --json`")?;
    let holds = status.holds.into_iter();
    Ok(holds
        .filter_map(|hold| Some((hold.inode, hold.count?)))
        .collect())
}

/// Reads the kernel's counts from `rousr verify --json`.
pub(super) fn verified(json: &[u8]) -> Result<Counts> {
    let verification: Verification =
        serde_json::from_slice(json).context("`rousr verify --json`")?;
    let inodes = verification.inodes.into_iter();
    Ok(inodes
        .map(|verified| (verified.inode, verified.kernel))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(regular: u64, paths: u64, visible: u64) -> Count {
        Count {
            regular,
            paths,
            visible,
        }
    }

    /// One inode, number 7.
    fn findings(model: Option<Count>, held: bool, counted: Option<u64>) -> [u64; 4] {
        let scene = Scene {
            model: model.into_iter().map(|count| (7, count)).collect(),
            public: BTreeSet::new(),
        };
        let holds = BTreeSet::from_iter(held.then_some(7));
        let found = scene.judge(
            &holds,
            &counted.into_iter().map(|count| (7, count)).collect(),
        );
        let wrong = found.drift + found.premature + found.missed;
        assert_eq!(found.told.len() as u64, wrong);
        assert_eq!(found.is_clean(), wrong == 0);
        [found.drift, found.premature, found.missed, found.dark]
    }

    #[test]
    fn tells_what_is_wrong() {
        let cases = [
            (None, false, None, [0, 0, 0, 0]),
            (Some(count(2, 0, 2)), true, Some(2), [0, 0, 0, 0]),
            (Some(count(2, 0, 1)), true, Some(1), [0, 0, 0, 1]),
            (Some(count(2, 0, 2)), true, Some(1), [1, 0, 0, 0]),
            (Some(count(2, 0, 2)), true, Some(3), [1, 0, 0, 0]),
            (Some(count(0, 1, 0)), true, Some(0), [0, 0, 0, 0]),
            (Some(count(2, 0, 2)), true, None, [1, 0, 0, 0]),
            (Some(count(0, 1, 0)), false, None, [0, 1, 0, 0]),
            (None, true, Some(0), [0, 0, 1, 0]),
            (None, true, None, [0, 0, 1, 0]),
        ];
        for (model, held, counted, expected) in cases {
            let found = findings(model, held, counted);
            assert_eq!(found, expected, "{model:?} {held} {counted:?}");
        }
    }

    #[test]
    fn installed_files_need_no_hold() {
        let scene = Scene {
            model: BTreeMap::from([(7, count(1, 0, 1))]),
            public: BTreeSet::from([7]),
        };
        let found = scene.judge(&BTreeSet::new(), &Counts::new());
        assert!(found.is_clean(), "{found:?}");
    }

    #[test]
    fn the_kernel_knows_what_the_model_knows() {
        let scene = Scene {
            model: BTreeMap::from([(7, count(2, 1, 1))]),
            public: BTreeSet::new(),
        };
        for (kernel, drift) in [(Some(2), 0), (Some(1), 1), (Some(3), 1), (None, 1)] {
            let kernel = kernel.into_iter().map(|kernel| (7, kernel)).collect();
            assert_eq!(scene.check_model(&kernel).drift, drift, "{kernel:?}");
        }
    }

    #[test]
    fn reads_what_rousr_writes() {
        let verify = br#"{"inodes":[{"inode":7,"path":null,"counted":2,"kernel":3,"visible":2,
            "paths":0,"dark":1,"pins":0}],"differences":[],"passes":1}"#;
        assert_eq!(verified(verify).expect("parses"), Counts::from([(7, 3)]));
        let status = br#"{"level":"sealed","holds":[{"inode":7,"count":2,"holders":[]},
            {"inode":8,"count":null}]}"#;
        assert_eq!(counted(status).expect("parses"), Counts::from([(7, 2)]));
        assert!(verified(b"rousr: no agent").is_err());
    }
}
