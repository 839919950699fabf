//! What `rousr verify --json` says.

use serde::Deserialize;

use crate::shell;

/// All watched inodes.
#[derive(Debug, Deserialize)]
pub struct Verification {
    /// Each of them.
    pub inodes: Vec<Verified>,
    /// Those whose count rousr finds wrong.
    pub differences: Vec<Verified>,
}

/// One watched inode.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Verified {
    /// Its number.
    pub inode: u64,
    /// Open files as rousr counts them, O_PATH ones left out.
    pub counted: u64,
    /// The same by `i_readcount` and `i_writecount`.
    pub kernel: u64,
    /// The same as a walk over all tasks finds them.
    pub visible: u64,
    /// O_PATH files as a walk finds them.
    pub paths: u64,
    /// References that no file explains.
    pub pins: u64,
}

impl Verification {
    /// Asks the agent.
    ///
    /// # Panics
    ///
    /// Panics where it does not answer, or its exit status is another than its answer.
    #[track_caller]
    pub fn ask() -> Self {
        let finished = shell("rousr verify --json");
        let verification: Self = serde_json::from_str(&finished.output)
            .unwrap_or_else(|error| panic!("{error}: {}", finished.output));
        let expected = i32::from(!verification.differences.is_empty());
        assert_eq!(finished.status, expected, "{verification:?}");
        verification
    }

    /// What it says about one inode.
    ///
    /// # Panics
    ///
    /// Panics where that is not watched.
    #[track_caller]
    pub fn of(&self, inode: u64) -> Verified {
        let found = self.inodes.iter().find(|verified| verified.inode == inode);
        *found.unwrap_or_else(|| panic!("{inode} is not watched: {self:?}"))
    }
}
