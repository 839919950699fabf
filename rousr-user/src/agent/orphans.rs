//! Whether the inodes without a name that were found are all that the kernel counts.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

use super::{blocker::Blocker, names::process_name, remedy::Remedy};
use crate::track::{
    process::Who,
    survey::{Queue, Survey},
};

/// How many inodes without a name are in use.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphans {
    /// By the kernel's own count (`super_block.s_remove_count`); null where BPF cannot ask for it.
    pub counted: Option<u64>,
    /// Among the blockers.
    pub shown: u64,
    /// Where more are counted than shown: sockets with descriptors in flight, any of which may be one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_flight: Vec<InFlight>,
}

/// A socket with descriptors that nobody has received yet.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// The process that can receive them.
    #[serde(flatten)]
    pub who: Who,
    /// Its descriptor of the socket.
    pub descriptor: u32,
    /// How many descriptors, of whatever files.
    pub files: u64,
    /// What ends it.
    pub remedy: Remedy,
}

impl Orphans {
    /// Holds what was found against the kernel's count.
    pub fn new(survey: &Survey, blockers: &[Blocker]) -> Self {
        let found = blockers.iter().filter(|blocker| blocker.kind.is_orphan());
        let inodes: HashSet<u64> = found.map(|blocker| blocker.inode).collect();
        let mut orphans = Self {
            counted: survey.nameless,
            shown: inodes.len() as u64,
            in_flight: Vec::new(),
        };
        if orphans.missing() > 0 {
            orphans.in_flight = survey.queues.iter().map(InFlight::from).collect();
        }
        orphans
    }

    /// How many are counted and not shown.
    pub fn missing(&self) -> u64 {
        self.counted.unwrap_or(0).saturating_sub(self.shown)
    }
}

impl From<&Queue> for InFlight {
    fn from(queue: &Queue) -> Self {
        let Queue {
            process,
            descriptor,
            files,
        } = queue;
        Self {
            who: process.into(),
            descriptor: *descriptor,
            files: *files,
            remedy: Remedy::of(process, &[]),
        }
    }
}

/// The difference in words, in whole lines; nothing where there is none.
impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(counted) = self.counted else {
            return Ok(());
        };
        let shown = self.shown;
        if counted < shown {
            return writeln!(
                f,
                "the kernel counts {counted} inodes without a name and {shown} are shown: some went meanwhile"
            );
        }
        let missing = self.missing();
        if missing == 0 {
            return Ok(());
        }
        let are = if missing == 1 { "is" } else { "are" };
        writeln!(
            f,
            "the kernel counts {counted} inodes without a name in use, {shown} are shown: {missing} {are} out of \
             reach of a look at processes (in flight in a socket, in an io_uring, below an overlay, mounted \
             elsewhere; or a removed directory around such a one)"
        )?;
        for socket in &self.in_flight {
            let process = process_name(&socket.who);
            let InFlight {
                descriptor, files, ..
            } = socket;
            writeln!(f, "  maybe in flight in a socket, {files} in all:")?;
            writeln!(f, "      {process}: fd {descriptor}")?;
            writeln!(f, "      next: {}", socket.remedy)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{membership::Unit, process::Process};

    fn survey(nameless: Option<u64>) -> Survey {
        let process = Process {
            pid: 7,
            comm: "x".to_owned(),
            started: 1,
            unit: Some(Unit {
                name: "x.service".to_owned(),
                user: None,
            }),
            container: None,
        };
        Survey {
            nameless,
            queues: vec![Queue {
                process,
                descriptor: 5,
                files: 2,
            }],
            ..Survey::default()
        }
    }

    #[test]
    fn a_difference_is_stated_with_what_may_explain_it() {
        let orphans = Orphans::new(&survey(Some(1)), &[]);
        let text = orphans.to_string();
        for part in [
            "counts 1 inodes without a name in use, 0 are shown: 1 is out of reach",
            "x (pid 7, x.service): fd 5",
            "next: systemctl restart x.service",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn nothing_is_said_where_all_agree() {
        for nameless in [None, Some(0)] {
            let orphans = Orphans::new(&survey(nameless), &[]);
            assert_eq!(orphans.to_string(), "");
            assert!(orphans.in_flight.is_empty());
        }
    }

    #[test]
    fn what_went_meanwhile_is_no_riddle() {
        let orphans = Orphans {
            counted: Some(0),
            shown: 1,
            in_flight: Vec::new(),
        };
        assert_eq!(orphans.missing(), 0);
        assert!(orphans.to_string().contains("went meanwhile"));
    }
}
