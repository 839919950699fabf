//! Taking and releasing each kind of holder.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use anyhow::{Context as _, Result};
use io_uring::IoUring;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
    },
};

use super::{
    EMPTY_FOLDER, HOLDS, hold_path,
    kind::Kind,
    open,
    partner::{Partner, Request},
    sys::Mapping,
    wire,
};
use crate::sys::{LoopRequest, number_ioctl, swapoff, swapon};

/// What keeps a file alive.
#[derive(Debug)]
pub(super) enum Means {
    /// A descriptor of the worker's.
    Descriptor(OwnedFd),
    /// A mapping of the worker's.
    Mapping(Mapping),
    /// A socket that it is in flight in.
    Socket { _ends: (OwnedFd, OwnedFd) },
    /// A slot of the ring.
    Fixed(u32),
    /// A loop device, by its place among the worker's.
    Loop(usize),
    /// The kernel, as a swap area.
    Swap,
    /// A slot of the nursery.
    Nursery(u32),
    /// A slot of the container.
    Container(u32),
}

/// What a worker needs to take holders of every kind.
pub(super) struct Hands {
    nursery: Partner,
    container: Partner,
    ring: IoUring,
    free_in_ring: Vec<u32>,
    loops: Vec<OwnedFd>,
    free_loops: Vec<usize>,
    /// A mount of the volume that stays writable as far as the filesystem is.
    writable: OwnedFd,
    next_slot: u32,
}

impl Hands {
    /// The hands of worker `number`. The volume is writable for the moment, so that the clone of its
    /// mount is so for good.
    pub(super) fn new(number: usize) -> Result<Self> {
        let ring = IoUring::new(2).context("cannot make an io_uring")?;
        let slots = u32::try_from(Kind::IoUring.limit())?;
        ring.submitter()
            .register_files_sparse(slots)
            .context("cannot register io_uring's files")?;
        let loops = Kind::LoopDevice.limit();
        let loops = (number * loops..(number + 1) * loops)
            .map(|device| {
                let path = format!("/dev/loop{device}");
                open(&path, OFlags::RDONLY).with_context(|| path)
            })
            .collect::<Result<Vec<_>>>()?;
        let writable = open_tree(
            CWD,
            "/usr",
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
        .context("cannot clone the mount of /usr")?;
        let container = Partner::start(true)?;
        let pid = rustix::process::getpid();
        let myself = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
        container.ask(Request::Keep, 0, 0, Some(myself.as_fd()))?;
        Ok(Self {
            nursery: Partner::start(false)?,
            container,
            ring,
            free_in_ring: (0..slots).rev().collect(),
            free_loops: (0..loops.len()).collect(),
            loops,
            writable,
            next_slot: 1,
        })
    }

    /// Takes a holder of this kind: of the file or, where the kind opens one, of the inode that
    /// `source` leads to. `inode` is its number.
    pub(super) fn take(&mut self, kind: Kind, source: &Means, inode: u64) -> io::Result<Means> {
        if let Means::Mapping(mapping) = source {
            return map_files(mapping);
        }
        match kind {
            Kind::HardLink => descriptor(open(hold_path(inode), OFlags::RDONLY)),
            Kind::Overlay => descriptor(open_in_overlay(inode)),
            Kind::Container => self.in_container(Request::Open, inode, None),
            Kind::Swap => self.swap_on(inode),
            _ => self.share(kind, descriptor_of(source)?),
        }
    }

    fn share(&mut self, kind: Kind, file: BorrowedFd<'_>) -> io::Result<Means> {
        match kind {
            Kind::Path => descriptor(open(magic(file), OFlags::PATH)),
            Kind::Dup => file.try_clone_to_owned().map(Means::Descriptor),
            Kind::Fork => self.in_nursery(Request::Fork, file),
            Kind::CloseOnExec => self.in_nursery(Request::ForkToExec, file),
            Kind::Exit => self.in_nursery(Request::ForkToDie, file),
            Kind::Program => self.in_nursery(Request::Run, file),
            Kind::Interpreter => self.in_nursery(Request::Interpret, file),
            Kind::PrivateMapping => Mapping::private(file).map(Means::Mapping),
            Kind::SharedMapping => Mapping::shared(file).map(Means::Mapping),
            Kind::Received => self.in_container(Request::Keep, 0, Some(file)),
            Kind::PidfdGetfd => self.in_container(Request::Take, file.as_raw_fd() as u64, None),
            Kind::InFlight => {
                let (near, far) = wire::pair()?;
                wire::send(&near, b"f", &[file])?;
                Ok(Means::Socket { _ends: (near, far) })
            }
            Kind::DeadSocket => {
                let (near, far) = wire::pair()?;
                wire::send(&near, b"f", &[file, far.as_fd()])?;
                Ok(Means::Socket { _ends: (near, far) })
            }
            Kind::IoUring => self.register(file),
            Kind::LoopDevice => self.attach(file),
            _ => descriptor(open(magic(file), OFlags::RDONLY)),
        }
    }

    /// Lets go. Returns when the kernel has, as far as a caller can know.
    pub(super) fn release(&mut self, inode: u64, means: Means) -> io::Result<()> {
        match means {
            Means::Descriptor(_) | Means::Mapping(_) | Means::Socket { .. } => Ok(()),
            Means::Fixed(slot) => {
                self.ring.submitter().register_files_update(slot, &[-1])?;
                self.free_in_ring.push(slot);
                Ok(())
            }
            Means::Loop(at) => self.detach(at),
            Means::Swap => swapoff(self.writable_path(inode)?.1.as_ref()),
            Means::Nursery(slot) => self.nursery.ask(Request::Release, slot, 0, None),
            Means::Container(slot) => self.container.ask(Request::Release, slot, 0, None),
        }
    }

    fn in_nursery(&mut self, request: Request, file: BorrowedFd<'_>) -> io::Result<Means> {
        let slot = self.slot();
        self.nursery.ask(request, slot, 0, Some(file))?;
        Ok(Means::Nursery(slot))
    }

    fn in_container(
        &mut self,
        request: Request,
        value: u64,
        file: Option<BorrowedFd<'_>>,
    ) -> io::Result<Means> {
        let slot = self.slot();
        self.container.ask(request, slot, value, file)?;
        Ok(Means::Container(slot))
    }

    fn slot(&mut self) -> u32 {
        self.next_slot += 1;
        self.next_slot
    }

    fn register(&mut self, file: BorrowedFd<'_>) -> io::Result<Means> {
        let slot = self.free_in_ring.pop().ok_or(io::ErrorKind::StorageFull)?;
        let files = [file.as_raw_fd()];
        self.ring.submitter().register_files_update(slot, &files)?;
        Ok(Means::Fixed(slot))
    }

    fn attach(&mut self, file: BorrowedFd<'_>) -> io::Result<Means> {
        let at = self.free_loops.pop().ok_or(io::ErrorKind::StorageFull)?;
        number_ioctl(self.loops[at].as_fd(), LoopRequest::SetFd, file.as_raw_fd())?;
        Ok(Means::Loop(at))
    }

    /// From 6.11 on the file goes when the device is closed.
    fn detach(&mut self, at: usize) -> io::Result<()> {
        number_ioctl(self.loops[at].as_fd(), LoopRequest::ClearFd, 0)?;
        let path = magic(self.loops[at].as_fd());
        let anew = std::fs::read_link(&path)?;
        let placeholder = open("/dev/null", OFlags::RDONLY)?;
        drop(std::mem::replace(&mut self.loops[at], placeholder));
        self.loops[at] = open(&anew, OFlags::RDONLY)?;
        self.free_loops.push(at);
        Ok(())
    }

    fn swap_on(&self, inode: u64) -> io::Result<Means> {
        swapon(self.writable_path(inode)?.1.as_ref())?;
        Ok(Means::Swap)
    }

    /// A path to a hold through the writable mount, for as long as the descriptor is open.
    fn writable_path(&self, inode: u64) -> io::Result<(OwnedFd, String)> {
        let hold = hold_path(inode);
        let below = hold.strip_prefix("/usr").map_err(io::Error::other)?;
        let file = openat(
            &self.writable,
            below,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let path = magic(file.as_fd());
        Ok((file, path))
    }
}

/// A second file of the inode in a mapping.
fn map_files(mapping: &Mapping) -> io::Result<Means> {
    let (start, end) = mapping.range();
    let path = format!("/proc/self/map_files/{start:x}-{end:x}");
    descriptor(open(path, OFlags::RDONLY))
}

/// Opens a hold through an overlay of its own, which goes with the file.
fn open_in_overlay(inode: u64) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Without an upper layer there have to be two.
    let layers = format!("{HOLDS}:{EMPTY_FOLDER}");
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_set_string(&context, "lowerdir", layers)?;
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?;
    Ok(openat(
        mount,
        inode.to_string(),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn descriptor(opened: io::Result<OwnedFd>) -> io::Result<Means> {
    opened.map(Means::Descriptor)
}

fn descriptor_of(means: &Means) -> io::Result<BorrowedFd<'_>> {
    match means {
        Means::Descriptor(file) => Ok(file.as_fd()),
        other => Err(io::Error::other(format!("{other:?} has no descriptor"))),
    }
}

/// The magic link that leads to an open file's inode.
fn magic(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
