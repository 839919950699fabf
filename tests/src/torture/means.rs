//! Taking and releasing each kind of holder.

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use anyhow::{Context as _, Result};
use io_uring::IoUring;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mm::MapFlags,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
    },
};

use super::{
    EMPTY_FOLDER, hold_path,
    kind::Kind,
    open,
    partner::{Partner, Request},
};
use crate::{
    HOLDS,
    sys::{LoopRequest, Mapping, PrivateCopy, number_ioctl, swapoff, swapon},
    wire,
};

/// What keeps a file alive.
#[derive(Debug)]
pub(super) enum Means {
    /// A descriptor of the worker's.
    Descriptor(OwnedFd),
    /// Descriptors in one overlay, which keeps all their inodes in memory until the last is closed.
    Overlay { _files: Vec<OwnedFd> },
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

/// A holder that another is had from.
pub(super) struct Source<'a> {
    pub(super) means: &'a Means,
    pub(super) inode: u64,
}

impl Source<'_> {
    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match self.means {
            Means::Descriptor(file) => Ok(file.as_fd()),
            other => Err(io::Error::other(format!("{other:?} has no descriptor"))),
        }
    }

    /// A second file of the inode that is mapped.
    fn reopen_mapping(&self) -> io::Result<Means> {
        let Means::Mapping(mapping) = self.means else {
            return Err(io::Error::other(format!("{:?} is not mapped", self.means)));
        };
        let Range { start, end } = mapping.addresses();
        let path = format!("/proc/self/map_files/{start:x}-{end:x}");
        descriptor(open(path, OFlags::RDONLY))
    }
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
        container.ask(Request::Keep, 0, &[], &[myself.as_fd()])?;
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

    /// Takes holders of this kind: of the files or, where the kind opens some, of the inodes that the
    /// sources lead to.
    pub(super) fn take(&mut self, kind: Kind, sources: &[Source<'_>]) -> io::Result<Means> {
        let inodes: Vec<u64> = sources.iter().map(|source| source.inode).collect();
        let files = || {
            sources
                .iter()
                .map(Source::descriptor)
                .collect::<io::Result<Vec<_>>>()
        };
        match kind {
            Kind::Overlay => open_in_overlay(&inodes),
            Kind::HardLink => descriptor(open(hold_path(inodes[0]), OFlags::RDONLY)),
            Kind::MapFiles => sources[0].reopen_mapping(),
            Kind::Swap => self.swap_on(inodes[0]),
            Kind::Container => self.in_container(Request::Open, &inodes, &[]),
            Kind::Received => self.in_container(Request::Keep, &[], &files()?),
            Kind::PidfdGetfd => {
                let numbers = files()?
                    .iter()
                    .map(|file| file.as_raw_fd() as u64)
                    .collect::<Vec<_>>();
                self.in_container(Request::Take, &numbers, &[])
            }
            Kind::Fork => self.in_nursery(Request::Fork, &files()?),
            Kind::CloseOnExec => self.in_nursery(Request::ForkToExec, &files()?),
            Kind::Exit => self.in_nursery(Request::ForkToDie, &files()?),
            Kind::Program | Kind::Interpreter => self.in_nursery(Request::Run, &files()?),
            Kind::InFlight => in_flight(&files()?, false),
            Kind::DeadSocket => in_flight(&files()?, true),
            _ => self.take_one(kind, sources[0].descriptor()?),
        }
    }

    fn take_one(&mut self, kind: Kind, file: BorrowedFd<'_>) -> io::Result<Means> {
        match kind {
            Kind::Path => descriptor(open(magic(file), OFlags::PATH)),
            Kind::Dup => descriptor(file.try_clone_to_owned()),
            Kind::PrivateMapping => Ok(Means::Mapping(PrivateCopy::dirty_page(file)?.into())),
            Kind::SharedMapping => Mapping::page(file, MapFlags::SHARED).map(Means::Mapping),
            Kind::IoUring => self.register(file),
            Kind::LoopDevice => self.attach(file),
            _ => descriptor(open(magic(file), OFlags::RDONLY)),
        }
    }

    /// Lets go. Returns when the kernel has, as far as a caller can know.
    pub(super) fn release(&mut self, inode: u64, means: Means) -> io::Result<()> {
        match means {
            Means::Descriptor(_)
            | Means::Overlay { .. }
            | Means::Mapping(_)
            | Means::Socket { .. } => Ok(()),
            Means::Fixed(slot) => {
                self.ring.submitter().register_files_update(slot, &[-1])?;
                self.free_in_ring.push(slot);
                Ok(())
            }
            Means::Loop(at) => self.detach(at),
            Means::Swap => swapoff(self.writable_path(inode)?.1.as_ref()),
            Means::Nursery(slot) => self.nursery.ask(Request::Release, slot, &[], &[]),
            Means::Container(slot) => self.container.ask(Request::Release, slot, &[], &[]),
        }
    }

    fn in_nursery(&mut self, request: Request, files: &[BorrowedFd<'_>]) -> io::Result<Means> {
        let slot = self.slot();
        self.nursery.ask(request, slot, &[], files)?;
        Ok(Means::Nursery(slot))
    }

    fn in_container(
        &mut self,
        request: Request,
        numbers: &[u64],
        files: &[BorrowedFd<'_>],
    ) -> io::Result<Means> {
        let slot = self.slot();
        self.container.ask(request, slot, numbers, files)?;
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

/// Sends them where nobody receives; in a socket that is in flight in itself, where `dead`.
fn in_flight(files: &[BorrowedFd<'_>], dead: bool) -> io::Result<Means> {
    let (near, far) = wire::pair()?;
    match dead {
        true => wire::send(&near, b"f", &[files, &[far.as_fd()]].concat())?,
        false => wire::send(&near, b"f", files)?,
    }
    Ok(Means::Socket { _ends: (near, far) })
}

/// Opens holds through an overlay of their own, which goes with the last.
fn open_in_overlay(inodes: &[u64]) -> io::Result<Means> {
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
    let open = |inode: &u64| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(openat(&mount, inode.to_string(), flags, Mode::empty())?)
    };
    let files = inodes.iter().map(open).collect::<io::Result<_>>()?;
    Ok(Means::Overlay { _files: files })
}

fn descriptor(opened: io::Result<OwnedFd>) -> io::Result<Means> {
    opened.map(Means::Descriptor)
}

/// The magic link that leads to an open file's inode.
fn magic(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
