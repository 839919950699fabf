//! What blocks and who it is, as `rousr status` and `rousr blockers` show it.

use std::fmt::Write as _;

use crate::{
    agent::{
        blocker::Blocker,
        names::{process_name, visible},
        status::{Elsewhere, Status},
    },
    seal::Level,
    track::{kernel_side::KernelUser, process::Holder},
};

/// What blocks, who it is and what to do.
pub(super) fn write_blockers(text: &mut String, blockers: &[Blocker]) -> std::fmt::Result {
    match blockers.len() {
        1 => writeln!(text, "1 blocker keeps the filesystem writable:")?,
        count => writeln!(text, "{count} blockers keep the filesystem writable:")?,
    }
    for Blocker {
        kind,
        inode,
        path,
        holders,
        kernel,
        remedies,
    } in blockers
    {
        let path = visible(path.as_deref().unwrap_or("(unknown path)"));
        writeln!(text, "  {}, inode {inode}: {path}", kind.as_str())?;
        write_holders(text, holders)?;
        for user in kernel {
            writeln!(text, "      the kernel: {}", visible(&kernel_user(user)))?;
        }
        for remedy in remedies {
            writeln!(text, "      next: {}", visible(&remedy.to_string()))?;
        }
    }
    Ok(())
}

/// Where the superblock is read-only, nothing can be written there either.
pub(super) fn write_elsewhere(text: &mut String, status: &Status) -> std::fmt::Result {
    if status.level == Level::Sealed || status.elsewhere.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nwritable in other mount namespaces:")?;
    for mount in &status.elsewhere {
        let Elsewhere {
            mount_point,
            who,
            remedy,
        } = mount;
        let process = process_name(who);
        writeln!(text, "  {} of {process}", visible(mount_point))?;
        if let Some(remedy) = remedy {
            writeln!(text, "      next: {}", visible(&remedy.to_string()))?;
        }
    }
    Ok(())
}

/// Each with how it uses the file.
pub(super) fn write_holders(text: &mut String, holders: &[Holder]) -> std::fmt::Result {
    for holder in holders {
        let Holder { who, uses } = holder;
        let process = process_name(who);
        writeln!(text, "      {process}: {}", uses.join(", "))?;
    }
    Ok(())
}

fn kernel_user(user: &KernelUser) -> String {
    match user {
        KernelUser::LoopDevice(device) => format!("loop device {}", device.display()),
        KernelUser::Swap(path) => format!("swaps to {}", path.display()),
        KernelUser::Mount(mount_point) => format!("mounted at {}", mount_point.display()),
    }
}
