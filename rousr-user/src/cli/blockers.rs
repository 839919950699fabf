//! `rousr blockers`.

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;
use serde::Serialize;

use super::{
    blocking::{write_blockers, write_elsewhere},
    output, status,
};
use crate::{
    agent::{
        blocker::Blocker,
        orphans::Orphans,
        status::{Elsewhere, Status},
    },
    seal::Level,
};

/// Show what keeps the filesystem of /usr from going read-only, and what to do about it
///
/// Removed files and directories that are still in use, and files that are open for writing; each with
/// who uses it and the least disruptive way to end that. The same for other read-only filesystems below
/// /usr.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 nothing blocks, 1 something does or the command failed, \
    2 wrong arguments."
)]
pub(super) struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blockers<'s> {
    mount_point: &'s str,
    level: Level,
    wanted: Level,
    blockers: &'s [Blocker],
    orphans: &'s Orphans,
    elsewhere: &'s [Elsewhere],
    beside: Vec<Self>,
    warnings: &'s [String],
}

impl<'s> From<&'s Status> for Blockers<'s> {
    fn from(status: &'s Status) -> Self {
        Self {
            mount_point: &status.mount_point,
            level: status.level,
            wanted: status.wanted,
            blockers: &status.blockers,
            orphans: &status.orphans,
            elsewhere: &status.elsewhere,
            beside: status.beside.iter().map(Self::from).collect(),
            warnings: &status.warnings,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let status = status::ask()?;
    if !arguments.json {
        for volume in status.volumes() {
            output::warn_of(&volume.warnings);
        }
    }
    output::show(arguments.json, &Blockers::from(&status), || {
        status.volumes().map(view).collect()
    })?;
    Ok(output::exit(!status.volumes().any(Status::is_blocked)))
}

fn view(status: &Status) -> String {
    let Status {
        mount_point, level, ..
    } = status;
    let mut text = format!("{mount_point} is {level}\n");
    // Writing into a string does not fail.
    let _ = match (status.blockers.is_empty(), status.is_blocked()) {
        (false, _) => write_blockers(&mut text, &status.blockers),
        (true, false) => writeln!(text, "nothing blocks"),
        (true, true) if status.orphans.counted == Some(0) && status.level > Level::Open => {
            writeln!(
                text,
                "no inode without a name is left: the next try to seal does it, within a minute; `rousr seal` \
                 tries at once"
            )
        }
        (true, true) => writeln!(
            text,
            "no process shows what blocks: it may be in another mount namespace, or in flight between \
             processes; a reboot ends it"
        ),
    };
    let _ = write!(text, "{}", status.orphans);
    let _ = write_elsewhere(&mut text, status);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::{blocker::BlockerKind, remedy::Remedy},
        track::{
            kernel_side::KernelUser,
            process::{Holder, Who},
        },
        transaction::{Opener, Opening},
    };

    fn status(level: Level, blockers: Vec<Blocker>) -> Status {
        Status {
            mount_point: "/usr".to_owned(),
            filesystem: "ext4".to_owned(),
            source: "/dev/sda".to_owned(),
            level,
            wanted: Level::Sealed,
            wanted_by: crate::seal::wanted::Source::Fstab { line: 1 },
            reachable: Level::Sealed,
            shared_with: Vec::new(),
            frozen: None,
            openings: Vec::new(),
            agent: None,
            holds: Vec::new(),
            blockers,
            orphans: Orphans::default(),
            elsewhere: Vec::new(),
            beside: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn what_blocks_is_told_with_who_and_the_way_out() {
        let blocker = Blocker {
            kind: BlockerKind::OrphanFile,
            inode: 7,
            path: Some("/usr/lib/x (deleted)".to_owned()),
            holders: vec![Holder {
                who: Who {
                    pid: 8,
                    comm: "sshd".to_owned(),
                    unit: Some("ssh.service".to_owned()),
                    unit_user: None,
                },
                uses: vec!["mapping".to_owned()],
            }],
            kernel: vec![KernelUser::Swap("/usr/swap".into())],
            remedies: vec![Remedy::Restart {
                unit: "ssh.service".to_owned(),
                user: None,
            }],
        };
        let status = status(Level::MountSealed, vec![blocker]);
        assert!(status.is_blocked());
        assert_eq!(
            view(&status),
            "\
/usr is mount-sealed
1 blocker keeps the filesystem writable:
  removed file, inode 7: /usr/lib/x (deleted)
      sshd (pid 8, ssh.service): mapping
      the kernel: swaps to /usr/swap
      next: systemctl restart ssh.service
"
        );
    }

    #[test]
    fn filesystems_beside_are_told_as_well() {
        let mut all = status(Level::Sealed, Vec::new());
        all.beside.push(Status {
            mount_point: "/usr/share".to_owned(),
            ..status(Level::MountSealed, Vec::new())
        });
        let mount_points = |blockers: &Blockers<'_>| -> Vec<String> {
            (blockers.beside.iter())
                .map(|blockers| blockers.mount_point.to_owned())
                .collect()
        };
        assert_eq!(mount_points(&Blockers::from(&all)), ["/usr/share"]);
        let blocked: Vec<bool> = all.volumes().map(Status::is_blocked).collect();
        assert_eq!(blocked, [false, true]);
    }

    #[test]
    fn what_no_process_shows_blocks_all_the_same() {
        let transaction = Opening {
            opener: Opener::Transaction,
            began: 1,
        };
        for (level, openings, blocks, text) in [
            (Level::Sealed, vec![], false, "nothing blocks"),
            (Level::MountSealed, vec![], true, "no process shows"),
            (Level::Open, vec![transaction], false, "nothing blocks"),
        ] {
            let status = Status {
                openings,
                ..status(level, Vec::new())
            };
            assert_eq!(status.is_blocked(), blocks);
            assert!(view(&status).contains(text), "{}", view(&status));
        }
    }
}
