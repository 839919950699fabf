//! What other tools say in the same guest.

use std::path::Path;

use super::plant::{Plant, Shows, Who};
use crate::shell;

/// What they said.
pub(super) struct Peers {
    lsof: String,
    fuser: String,
    needrestart: String,
}

/// The tools, as they are told to look; each says what it has to say on standard output.
pub(super) const LSOF: &str = "lsof -n -w +L1";
pub(super) const FUSER: &str = "fuser -vm /usr";
pub(super) const NEEDRESTART: &str = "needrestart -b -r l";

impl Peers {
    pub(super) fn ask() -> Self {
        Self {
            lsof: shell(LSOF).output,
            fuser: shell(FUSER).output,
            needrestart: shell(NEEDRESTART).output,
        }
    }

    /// Whether a line has the process's number and the path, or one in it.
    pub(super) fn lsof_shows(&self, plant: &Plant) -> bool {
        let Some(pid) = plant.pid() else {
            return false;
        };
        let path = match plant.shows {
            Shows::Blocker(_, path, _) => path.trim_end_matches(" (deleted)"),
            Shows::Elsewhere | Shows::InFlight | Shows::Counted => return false,
        };
        self.lsof.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.nth(1) == Some(&*pid.to_string())
                && words.any(|word| Path::new(word).starts_with(path))
        })
    }

    /// Whether the process is among those that use the filesystem at all. It names no file but swap files.
    pub(super) fn fuser_lists(&self, plant: &Plant) -> bool {
        if let Shows::Blocker(_, path, Who::Kernel(..)) = plant.shows {
            return self.fuser.contains(path);
        }
        let Some(pid) = plant.pid() else {
            return false;
        };
        self.fuser_pids().any(|listed| listed == pid)
    }

    /// How many processes it lists.
    pub(super) fn listed(&self) -> usize {
        self.fuser_pids().count()
    }

    /// Lines are `USER PID ACCESS COMMAND`, the first with the mount point before.
    fn fuser_pids(&self) -> impl Iterator<Item = u32> {
        let lines = self.fuser.lines();
        lines.filter_map(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
    }

    /// Whether its service or session is named.
    pub(super) fn needrestart_names(&self, plant: &Plant) -> bool {
        let mut said = self
            .needrestart
            .lines()
            .filter_map(|line| line.split_once(": "));
        match plant.shows {
            Shows::Blocker(_, _, Who::Session | Who::Shell) => {
                said.any(|(key, _)| key == "NEEDRESTART-SESS")
            }
            Shows::Blocker(_, _, Who::Container(name)) => {
                let unit = plant.unit();
                said.any(|(key, named)| {
                    key.starts_with("NEEDRESTART-CONT") && named.contains(name) || named == unit
                })
            }
            Shows::Blocker(_, _, Who::Manager) => said.any(|(key, named)| {
                key == "NEEDRESTART-SVC" && ["systemd-manager", "init.scope"].contains(&named)
            }),
            _ => {
                let unit = plant.unit();
                said.any(|(key, named)| key == "NEEDRESTART-SVC" && named == unit)
            }
        }
    }
}
