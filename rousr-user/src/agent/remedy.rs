//! The least disruptive way to have a process let go of what it uses.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::track::{
    kernel_side::KernelUser,
    membership::{Unit, user_of_manager},
    process::Process,
    usage::Usage,
};

/// What to do. In JSON an object of `action` and what it is about.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(
    tag = "action",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Remedy {
    /// A shell that only stands in a removed directory can go elsewhere.
    ChangeDirectory {
        /// The process.
        pid: u32,
    },
    /// systemd, or a user's, starts anew in place and keeps all units.
    Reexecute {
        /// The user whose manager it is; absent for the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<u32>,
    },
    /// The unit is restarted.
    Restart {
        /// Its name.
        unit: String,
        /// The user whose manager runs it; absent for the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<u32>,
    },
    /// The container is restarted, by whatever manages it.
    RestartContainer {
        /// Its name or identifier.
        container: String,
    },
    /// The process belongs to nothing that could be restarted.
    End {
        /// The process.
        pid: u32,
    },
    /// The session ends.
    LogOut {
        /// logind's number of it.
        session: String,
    },
    /// All sessions of a user end, and the manager with them.
    LogOutUser {
        /// The user.
        user: u32,
    },
    /// A loop device lets go of its file.
    Detach {
        /// The device.
        device: PathBuf,
    },
    /// A file is no longer swapped to.
    SwapOff {
        /// The file.
        path: PathBuf,
    },
    /// A mount ends.
    Unmount {
        /// Where it is.
        mount_point: PathBuf,
    },
    /// What cannot be restarted without the whole system.
    Reboot,
}

/// Whoever talks over the bus does not survive its restart; a login manager's sessions do not either.
const NEVER_RESTARTED: [&str; 12] = [
    "dbus.service",
    "dbus-broker.service",
    "systemd-logind.service",
    "display-manager.service",
    "gdm.service",
    "gdm3.service",
    "lightdm.service",
    "lxdm.service",
    "nodm.service",
    "sddm.service",
    "wdm.service",
    "xdm.service",
];

impl Remedy {
    /// For a process and those of its uses that are to end.
    pub fn of(process: &Process, usages: &[&Usage]) -> Self {
        let pid = process.pid;
        if pid == 1 {
            return Self::Reexecute { user: None };
        }
        if let Some(container) = &process.container {
            return Self::RestartContainer {
                container: container.clone(),
            };
        }
        let Some(Unit { name, user }) = &process.unit else {
            return Self::End { pid };
        };
        if let Some(session) = session(name) {
            let stands = |usage: &&Usage| usage.how.stands();
            return match !usages.is_empty() && usages.iter().all(stands) {
                true => Self::ChangeDirectory { pid },
                false => Self::LogOut { session },
            };
        }
        if let Some(user) = user_of_manager(name.as_bytes()) {
            return match process.comm.as_str() {
                "systemd" => Self::Reexecute { user: Some(user) },
                _ => Self::LogOutUser { user },
            };
        }
        if user.is_none() && NEVER_RESTARTED.contains(&name.as_str()) {
            return Self::Reboot;
        }
        if !name.ends_with(".service") {
            return Self::End { pid };
        }
        Self::Restart {
            unit: name.clone(),
            user: *user,
        }
    }

    /// For what the kernel itself uses.
    pub fn of_kernel(user: &KernelUser) -> Self {
        match user.clone() {
            KernelUser::LoopDevice(device) => Self::Detach { device },
            KernelUser::Swap(path) => Self::SwapOff { path },
            KernelUser::Mount(mount_point) => Self::Unmount { mount_point },
        }
    }

    /// The command that does it; empty where there is no one command.
    pub fn command(&self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::ChangeDirectory { .. } | Self::RestartContainer { .. } => &[],
            Self::Reexecute { user: None } => &["systemctl", "daemon-reexec"],
            // The same by the signal that systemd(1) has for it: by the user's bus it is possible only
            // where that user has one, which takes the package dbus-user-session.
            Self::Reexecute { user: Some(user) } => &[
                "systemctl",
                "kill",
                "--kill-whom=main",
                "--signal=SIGRTMIN+25",
                &format!("user@{user}.service"),
            ],
            Self::Restart { unit, user: None } => &["systemctl", "restart", unit],
            Self::Restart {
                unit,
                user: Some(user),
            } => &[
                "systemctl",
                "--user",
                "-M",
                &format!("{user}@"),
                "restart",
                unit,
            ],
            Self::End { pid } => &["kill", &pid.to_string()],
            Self::LogOut { session } => &["loginctl", "terminate-session", session],
            Self::LogOutUser { user } => &["loginctl", "terminate-user", &user.to_string()],
            Self::Detach { device } => &["losetup", "-d", &device.to_string_lossy()],
            Self::SwapOff { path } => &["swapoff", &path.to_string_lossy()],
            Self::Unmount { mount_point } => &["umount", &mount_point.to_string_lossy()],
            Self::Reboot => &["systemctl", "reboot"],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChangeDirectory { pid } => {
                write!(f, "cd to another directory in the shell of pid {pid}")
            }
            Self::RestartContainer { container } => write!(f, "restart the container {container}"),
            Self::LogOut { session } => write!(f, "log out of session {session}"),
            _ => {
                // systemd escapes bytes of a unit's name with backslashes.
                let quoted = self
                    .command()
                    .into_iter()
                    .map(|word| match word.contains('\\') {
                        true => format!("'{word}'"),
                        false => word,
                    });
                f.write_str(&quoted.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// The number in `session-N.scope`.
fn session(unit: &str) -> Option<String> {
    let session = unit.strip_prefix("session-")?.strip_suffix(".scope")?;
    Some(session.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::usage::How;

    fn remedy(pid: u32, comm: &str, unit: Option<(&str, Option<u32>)>, how: How) -> Remedy {
        let process = Process {
            pid,
            comm: comm.to_owned(),
            started: 1,
            unit: unit.map(|(name, user)| Unit {
                name: name.to_owned(),
                user,
            }),
            container: None,
        };
        let usage = Usage {
            pid,
            inode: 1,
            device: 1,
            links: 0,
            directory: how == How::WorkingDirectory,
            writable: false,
            times: 1,
            how,
        };
        Remedy::of(&process, &[&usage])
    }

    #[test]
    fn the_least_disruptive_way_is_told() {
        let user_unit = Some(("app.service", Some(1000)));
        let manager = Some(("user@1000.service", None));
        let session = Some(("session-3.scope", None));
        let (map, cwd) = (How::Mapping, How::WorkingDirectory);
        let table = [
            (
                remedy(1, "systemd", Some(("init.scope", None)), map),
                "systemctl daemon-reexec",
            ),
            (
                remedy(7, "sshd", Some(("ssh.service", None)), map),
                "systemctl restart ssh.service",
            ),
            (
                remedy(7, "app", user_unit, map),
                "systemctl --user -M 1000@ restart app.service",
            ),
            (
                remedy(7, "systemd", manager, map),
                "systemctl kill --kill-whom=main --signal=SIGRTMIN+25 user@1000.service",
            ),
            (
                remedy(7, "(sd-pam)", manager, map),
                "loginctl terminate-user 1000",
            ),
            (remedy(7, "vi", session, map), "log out of session 3"),
            (
                remedy(7, "bash", session, cwd),
                "cd to another directory in the shell of pid 7",
            ),
            (
                remedy(7, "dbus-daemon", Some(("dbus.service", None)), map),
                "systemctl reboot",
            ),
            (remedy(7, "x", Some(("run-u7.scope", None)), map), "kill 7"),
            (remedy(7, "x", None, map), "kill 7"),
            (
                remedy(7, "x", Some((r"a\x2db.service", None)), map),
                r"systemctl restart 'a\x2db.service'",
            ),
        ];
        for (remedy, text) in table {
            assert_eq!(remedy.to_string(), text);
        }
    }

    #[test]
    fn a_container_is_for_its_own_manager() {
        let process = Process {
            pid: 7,
            comm: "x".to_owned(),
            started: 1,
            unit: Some(Unit {
                name: "docker-0123.scope".to_owned(),
                user: None,
            }),
            container: Some("0123".to_owned()),
        };
        let remedy = Remedy::of(&process, &[]);
        assert_eq!(remedy.to_string(), "restart the container 0123");
        assert!(remedy.command().is_empty());
    }

    #[test]
    fn json_names_the_action_and_what_it_is_about() {
        let remedy = remedy(7, "app", Some(("app.service", Some(1000))), How::Mapping);
        let json = serde_json::to_string(&remedy).expect("serializes");
        assert_eq!(
            json,
            r#"{"action":"restart","unit":"app.service","user":1000}"#
        );
        let back: Remedy = serde_json::from_str(&json).expect("parses");
        assert_eq!(back, remedy);
    }
}
