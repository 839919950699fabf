//! A worker's partners: processes that hold what the worker cannot hold itself.
//!
//! A worker has two. The nursery forks and runs programs: it has no descriptor of a watched file but
//! the one that its child is to get, so that a fork shares one file and not all of the worker's. The container
//! lives in mount and PID namespaces of its own and keeps descriptors.

use std::{
    collections::HashMap,
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    fs::OFlags,
    io::{fcntl_dupfd_cloexec, read, write},
    pipe::{PipeFlags, pipe_with},
    process::{
        ForeignRawFd, Pid, PidfdGetfdFlags, Signal, WaitOptions, kill_process, pidfd_getfd,
        set_parent_process_death_signal, waitpid,
    },
};

use super::{FOLDER, hold_path, image, open};
use crate::{
    sys::{self, PrivateCopy},
    wire,
};

/// What a partner is asked to do. Slots are numbers of the worker's choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Request {
    /// Keep the descriptors sent along.
    Keep,
    /// Take the worker's descriptors with these numbers, by the pidfd kept in slot 0.
    Take,
    /// Open the holds of the inodes with these numbers.
    Open,
    /// Give the descriptors sent along to a forked child.
    Fork,
    /// The same; released by an exec that closes them.
    ForkToExec,
    /// Give a forked child private mappings of the files sent along; released by its death.
    ForkToDie,
    /// Run the first file sent along, the second being its interpreter.
    Run,
    /// Let go of what is in the slot.
    Release,
}

impl Request {
    const ALL: [Self; 8] = [
        Self::Keep,
        Self::Take,
        Self::Open,
        Self::Fork,
        Self::ForkToExec,
        Self::ForkToDie,
        Self::Run,
        Self::Release,
    ];
}

/// A request's first byte, its slot, and up to as many numbers.
const HEAD: usize = 1 + 4;
const MESSAGE: usize = HEAD + 8 * 8;

/// The worker's end.
#[derive(Debug)]
pub(super) struct Partner {
    socket: OwnedFd,
    _process: Child,
}

impl Partner {
    /// Starts a partner as a child, in namespaces of its own where `contained`.
    pub(super) fn start(contained: bool) -> Result<Self> {
        let (socket, theirs) = wire::pair()?;
        let program = std::env::current_exe()?;
        let mut command = match contained {
            true => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--pid", "--fork", "--kill-child", "--"])
                    .arg(program);
                command
            }
            false => Command::new(program),
        };
        let process = command
            .arg("partner")
            .stdin(Stdio::from(theirs))
            .spawn()
            .context("cannot start a partner")?;
        Ok(Self {
            socket,
            _process: process,
        })
    }

    /// Asks, and waits until it is done.
    pub(super) fn ask(
        &self,
        request: Request,
        slot: u32,
        numbers: &[u64],
        files: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut message = vec![request as u8];
        message.extend(slot.to_le_bytes());
        message.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        wire::send(&self.socket, &message, files)?;
        let mut answer = [0; 4];
        let (length, _) = wire::receive(&self.socket, &mut answer)?;
        match (length, i32::from_le_bytes(answer)) {
            (4, 0) => Ok(()),
            (4, error) => Err(io::Error::from_raw_os_error(error)),
            _ => Err(io::Error::other("the partner is gone")),
        }
    }
}

/// What a slot has.
#[derive(Debug)]
enum Held {
    Files(Vec<OwnedFd>),
    /// A forked child, and the pipe whose first byte tells it to let go.
    Forked(Pid, OwnedFd, End),
    Running(Child),
}

/// How a forked child ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Killed,
    /// By itself, after an exec.
    Exec,
    /// Killed while it swaps.
    Swapping,
}

/// The partner's process: serves the socket at standard input until the worker is gone.
pub(super) fn serve() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut house = House::new()?;
    let mut message = [0; MESSAGE];
    loop {
        let (length, files) = wire::receive(&socket, &mut message)?;
        if length == 0 {
            return Ok(());
        }
        ensure!(length >= HEAD, "a request of {length} bytes");
        let request = Request::ALL[usize::from(message[0])];
        let slot = u32::from_le_bytes(message[1..5].try_into()?);
        let (numbers, _) = message[HEAD..length].as_chunks();
        let numbers = numbers.iter().copied().map(u64::from_le_bytes);
        let result = house.act(request, slot, numbers, files);
        let answer = result.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        wire::send(&socket, &answer.to_le_bytes(), &[])?;
    }
}

struct House {
    slots: HashMap<u32, Held>,
    ending: PathBuf,
}

impl House {
    fn new() -> Result<Self> {
        let path = format!("{FOLDER}/ending-{}-{}", std::process::id(), namespace());
        let ending = PathBuf::from(path);
        fs::write(&ending, image::ending()).with_context(|| ending.display().to_string())?;
        fs::set_permissions(&ending, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            slots: HashMap::new(),
            ending,
        })
    }

    fn act(
        &mut self,
        request: Request,
        slot: u32,
        numbers: impl Iterator<Item = u64>,
        files: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let held = match request {
            Request::Keep => Held::Files(files),
            Request::Take => Held::Files(
                numbers
                    .map(|number| self.take(number))
                    .collect::<Result<_, _>>()?,
            ),
            Request::Open => {
                let open = |inode| open(hold_path(inode), OFlags::RDONLY);
                Held::Files(numbers.map(open).collect::<Result<_, _>>()?)
            }
            Request::Fork => fork(End::Killed, || idle(files))?,
            Request::ForkToExec => {
                let ending = self.ending.clone();
                fork(End::Exec, || exec(files, ending))?
            }
            Request::ForkToDie => fork(End::Swapping, || swap(files))?,
            Request::Run => Held::Running(run(&files)?),
            Request::Release => {
                let held = self.slots.remove(&slot);
                return release(held.ok_or(io::Error::from_raw_os_error(libc::ENOENT))?);
            }
        };
        self.slots.insert(slot, held);
        Ok(())
    }

    fn take(&self, descriptor: u64) -> io::Result<OwnedFd> {
        let Some(Held::Files(worker)) = self.slots.get(&0) else {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        };
        Ok(pidfd_getfd(
            &worker[0],
            descriptor as ForeignRawFd,
            PidfdGetfdFlags::empty(),
        )?)
    }
}

/// A PID may occur in two namespaces.
fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect()
}

/// Each watched file names as its interpreter what this number's descriptor leads to.
fn run(files: &[OwnedFd]) -> io::Result<Child> {
    let [program, interpreter] = files else {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    };
    let interpreter = fcntl_dupfd_cloexec(interpreter, image::INTERPRETER)?;
    if interpreter.as_raw_fd() != image::INTERPRETER {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Forks a child that begins what `child` says and, told by a byte on its pipe, goes on with what
/// that returns.
fn fork<F: FnOnce()>(end: End, child: impl FnOnce() -> io::Result<F>) -> io::Result<Held> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    if let Some(pid) = sys::fork()? {
        return Ok(Held::Forked(pid, writer, end));
    }
    // The worker's report would lack what goes wrong here; it shows as a wrong count.
    if set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && let Ok(then) = child()
        && read(&reader, &mut [0]).is_ok()
    {
        then();
    }
    loop {
        std::thread::park();
    }
}

fn idle(files: Vec<OwnedFd>) -> io::Result<impl FnOnce()> {
    Ok(|| drop(files))
}

fn exec(files: Vec<OwnedFd>, program: PathBuf) -> io::Result<impl FnOnce()> {
    Ok(move || {
        let _closed_by_exec = files;
        // Returns only where it failed.
        let _ = Command::new(program).exec();
    })
}

fn swap(files: Vec<OwnedFd>) -> io::Result<impl FnOnce()> {
    let copies = files.iter().map(PrivateCopy::dirty_page);
    let copies = copies.collect::<Result<Vec<_>, _>>()?;
    drop(files);
    Ok(move || {
        // Without room to swap to, it dies just so.
        while copies.iter().all(|copy| copy.page_out().is_ok()) {}
    })
}

fn release(held: Held) -> io::Result<()> {
    match held {
        Held::Files(files) => drop(files),
        Held::Running(mut child) => {
            if child.try_wait()?.is_some() {
                // It did not hold its files for as long as it should have.
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            child.kill()?;
            child.wait()?;
        }
        Held::Forked(pid, pipe, end) => {
            if end != End::Killed {
                write(&pipe, &[0])?;
            }
            if end != End::Exec {
                kill_process(pid, Signal::KILL)?;
            }
            waitpid(Some(pid), WaitOptions::empty())?;
        }
    }
    Ok(())
}
