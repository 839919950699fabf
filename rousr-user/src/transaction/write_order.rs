//! The order in which an upgrade reaches the disks, where /usr and dpkg's database are on different ones.
//!
//! dpkg waits (fsync) for the content of each file and for its database, but not for a file's new name. On
//! one filesystem that is enough, since names reach the disk in their order. On two the database can be
//! ahead: after a power cut it says that a package is installed while /usr still has the old files.
//!
//! Once a package's files have their names, and before the database says so, dpkg opens the package's new
//! list of files, `info/PACKAGE.list-new` (`process_archive` in its src/main/unpack.c). That open has to
//! wait until /usr is on the disk: the permission that fanotify asks for is given afterwards.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    thread,
};

use rustix::fs::syncfs;
use tokio::{io::unix::AsyncFd, sync::oneshot};

use crate::sys::{open_permission::OpenPermissions, readiness::readable};

/// How the name of a list ends that dpkg is about to write (its NEWDBEXT is `-new`).
const NEW_LIST: &[u8] = b".list-new";

/// Keeps the order until it is dropped.
#[derive(Debug)]
pub struct WriteOrder {
    _stop: oneshot::Sender<()>,
}

impl WriteOrder {
    /// Has what dpkg unpacked below `volume` reach the disk before its database in `admin_dir` says so;
    /// `None` where both are on one filesystem.
    ///
    /// # Errors
    ///
    /// Fails where the kernel asks for no permissions, or this process may not give them.
    pub fn keep(admin_dir: &Path, volume: &Path) -> io::Result<Option<Self>> {
        if fs::metadata(admin_dir)?.dev() == fs::metadata(volume)?.dev() {
            return Ok(None);
        }
        let permissions = OpenPermissions::of(&admin_dir.join("info"))?;
        let (stop, stopped) = oneshot::channel();
        let volume = volume.to_owned();
        // A thread of its own: the agent opens such files itself, and must not wait for itself.
        thread::Builder::new()
            .name("write-order".into())
            .spawn(move || {
                if let Err(error) = run(permissions, &volume, stopped) {
                    tracing::warn!(
                        "dpkg's database may reach the disk before {}: {error}",
                        volume.display()
                    );
                }
            })?;
        Ok(Some(Self { _stop: stop }))
    }
}

fn run(
    permissions: OpenPermissions,
    volume: &Path,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let permissions = readable(permissions)?;
        loop {
            tokio::select! {
                // Its other end is gone.
                _ = &mut stopped => return Ok(()),
                asked = answer(&permissions, volume) => asked?,
            }
        }
    })
}

/// Gives the permissions that were asked for.
async fn answer(permissions: &AsyncFd<OpenPermissions>, volume: &Path) -> io::Result<()> {
    let mut ready = permissions.readable().await?;
    let permissions = permissions.get_ref();
    let Some(all) = permissions.asked()? else {
        ready.clear_ready();
        return Ok(());
    };
    for asked in all {
        if asked.ends_with(NEW_LIST)
            && let Err(error) = sync(volume)
        {
            tracing::warn!("{} cannot be written to disk: {error}", volume.display());
        }
        permissions.allow(&asked)?;
    }
    Ok(())
}

fn sync(volume: &Path) -> io::Result<()> {
    Ok(syncfs(File::open(volume)?)?)
}
