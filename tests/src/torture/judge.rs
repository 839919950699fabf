//! What is wrong at a quiet point: the model against the hold directory and against rousr's counts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::holdings::Count;

/// How many of a kind are told one by one.
const TOLD: usize = 10;

/// What rousr and the kernel say of an inode.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(super) struct Counted {
    /// rousr's count of regular files.
    pub(super) counted: u64,
    /// The kernel's; absent where rousr does not tell.
    pub(super) kernel: Option<u64>,
}

/// The differences between model and kernel.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
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

/// Compares. `holds` are the inode numbers in the hold directory, `public` those of the package's
/// installed files: rousr counts only what has no other name than its hold.
pub(super) fn judge(
    model: &BTreeMap<u64, Count>,
    holds: &BTreeSet<u64>,
    public: &BTreeSet<u64>,
    counted: &BTreeMap<u64, Counted>,
) -> Findings {
    let mut findings = Findings::default();
    for (&inode, count) in model {
        if public.contains(&inode) {
            continue;
        }
        if !holds.contains(&inode) {
            findings.premature += 1;
            findings.tell(format!("inode {inode}: {count:?} and no hold"));
            continue;
        }
        let Some(found) = counted.get(&inode) else {
            findings.drift += 1;
            findings.tell(format!("inode {inode}: {count:?} and not counted"));
            continue;
        };
        // What no task reached when the count began is left to the kernel's own.
        let paths = if found.kernel.is_none() {
            count.paths
        } else {
            0
        };
        let known = (count.visible..=count.regular + paths).contains(&found.counted);
        let agreed = found.kernel.is_none_or(|kernel| kernel == count.regular);
        if known && agreed {
            findings.dark += count.regular.saturating_sub(found.counted);
        } else {
            findings.drift += 1;
            findings.tell(format!("inode {inode}: {count:?}, {found:?}"));
        }
    }
    for inode in holds {
        if !model.contains_key(inode) {
            findings.missed += 1;
            let found = counted.get(inode);
            findings.tell(format!("inode {inode}: a hold, no holder, {found:?}"));
        }
    }
    findings
}

/// Reads `rousr verify --json`.
pub(super) fn parse_verify(json: &[u8]) -> Result<BTreeMap<u64, Counted>> {
    #[derive(Deserialize)]
    struct Inode {
        inode: u64,
        #[serde(flatten)]
        counted: Counted,
    }
    #[derive(Deserialize)]
    struct Verify {
        inodes: Vec<Inode>,
    }
    let verify: Verify = serde_json::from_slice(json).context("`rousr verify --json`")?;
    let inodes = verify.inodes.into_iter();
    Ok(inodes.map(|of| (of.inode, of.counted)).collect())
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
    fn findings(model: Option<Count>, held: bool, counted: Option<(u64, u64)>) -> [u64; 4] {
        let only = |there: bool| BTreeSet::from_iter(there.then_some(7));
        let counted = counted.map(|(counted, kernel)| {
            let kernel = Some(kernel);
            (7, Counted { counted, kernel })
        });
        let found = judge(
            &model.into_iter().map(|count| (7, count)).collect(),
            &only(held),
            &BTreeSet::new(),
            &counted.into_iter().collect(),
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
            (Some(count(2, 0, 2)), true, Some((2, 2)), [0, 0, 0, 0]),
            (Some(count(2, 0, 1)), true, Some((1, 2)), [0, 0, 0, 1]),
            (Some(count(2, 0, 2)), true, Some((1, 2)), [1, 0, 0, 0]),
            (Some(count(2, 0, 2)), true, Some((3, 2)), [1, 0, 0, 0]),
            (Some(count(2, 0, 2)), true, Some((2, 1)), [1, 0, 0, 0]),
            (Some(count(0, 1, 0)), true, Some((0, 0)), [0, 0, 0, 0]),
            (Some(count(2, 0, 2)), true, None, [1, 0, 0, 0]),
            (Some(count(0, 1, 0)), false, None, [0, 1, 0, 0]),
            (None, true, Some((0, 0)), [0, 0, 1, 0]),
            (None, true, None, [0, 0, 1, 0]),
        ];
        for (model, held, counted, expected) in cases {
            assert_eq!(
                findings(model, held, counted),
                expected,
                "{model:?} {held} {counted:?}"
            );
        }
    }

    #[test]
    fn installed_files_need_no_hold() {
        let model = BTreeMap::from([(7, count(1, 0, 1))]);
        let none = BTreeSet::new();
        let found = judge(&model, &none, &BTreeSet::from([7]), &BTreeMap::new());
        assert!(found.is_clean(), "{found:?}");
    }

    #[test]
    fn reads_what_verify_writes() {
        let json =
            br#"{"inodes":[{"inode":7,"path":null,"counted":2,"kernel":3,"visible":2,"paths":0,
            "dark":1,"pins":0}],"differences":[],"passes":1}"#;
        let expected = Counted {
            counted: 2,
            kernel: Some(3),
        };
        assert_eq!(
            parse_verify(json).expect("parses"),
            BTreeMap::from([(7, expected)])
        );
        assert!(parse_verify(b"rousr: no agent").is_err());
    }
}
