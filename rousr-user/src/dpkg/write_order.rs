//! The order in which an upgrade reaches the disks, where /usr and dpkg's database are on different ones.
//!
//! dpkg waits (fsync) for the content of each file and for its database, but not for a file's new name. On
//! one filesystem that is enough, since names reach the disk in their order. On two the database can be
//! ahead: after a power cut it says that a package is installed while /usr still has the old files.
//!
//! Once a package's files have their names, and before the database says so, dpkg opens the package's new
//! list of files, `info/PACKAGE.list-new` (`process_archive` in its src/main/unpack.c). That open has to
//! wait until /usr is on the disk: fanotify asks for a permission, which is given afterwards. A process that
//! dies gives all that it was asked for (`fanotify_release` in fs/notify/fanotify/fanotify_user.c).

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd, BorrowedFd, RawFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    thread,
};

use nix::{
    errno::Errno,
    sys::fanotify::{
        EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
    },
};
use rustix::fs::{CWD, syncfs};
use tokio::{io::unix::AsyncFd, sync::oneshot};

use crate::sys::readiness::readable;

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
        let group = Group::of(&admin_dir.join("info"))?;
        let (stop, stopped) = oneshot::channel();
        let volume = volume.to_owned();
        // A thread of its own: the agent opens such files itself, and must not wait for itself.
        thread::Builder::new()
            .name("write-order".into())
            .spawn(move || {
                if let Err(error) = run(group, &volume, stopped) {
                    tracing::warn!(
                        "dpkg's database may reach the disk before {}: {error}",
                        volume.display()
                    );
                }
            })?;
        Ok(Some(Self { _stop: stop }))
    }
}

fn run(group: Group, volume: &Path, mut stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let group = readable(group)?;
        loop {
            tokio::select! {
                // Its other end is gone.
                _ = &mut stopped => return Ok(()),
                asked = answer(&group, volume) => asked?,
            }
        }
    })
}

/// Gives the permissions that were asked for.
async fn answer(group: &AsyncFd<Group>, volume: &Path) -> io::Result<()> {
    let mut ready = group.readable().await?;
    let Group(fanotify) = group.get_ref();
    let events = match fanotify.read_events() {
        Err(Errno::EAGAIN) => {
            ready.clear_ready();
            return Ok(());
        }
        other => other?,
    };
    for event in events {
        let Some(file) = event.fd() else { continue };
        if is_new_list(file)
            && let Err(error) = sync(volume)
        {
            tracing::warn!("{} cannot be written to disk: {error}", volume.display());
        }
        fanotify.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW))?;
    }
    Ok(())
}

fn is_new_list(file: BorrowedFd<'_>) -> bool {
    let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    fs::read_link(link).is_ok_and(|path| path.as_os_str().as_bytes().ends_with(NEW_LIST))
}

fn sync(volume: &Path) -> io::Result<()> {
    Ok(syncfs(File::open(volume)?)?)
}

/// Is asked before a file of a directory is opened.
#[derive(Debug)]
struct Group(Fanotify);

impl Group {
    fn of(directory: &Path) -> io::Result<Self> {
        let group = Fanotify::init(
            InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK,
            EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
        )?;
        let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_EVENT_ON_CHILD;
        group.mark(MarkFlags::FAN_MARK_ADD, mask, CWD, Some(directory))?;
        Ok(Self(group))
    }
}

impl AsRawFd for Group {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl std::os::fd::AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
