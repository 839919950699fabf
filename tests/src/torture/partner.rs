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
    io::{dup2, read, write},
    pipe::{PipeFlags, pipe_with},
    process::{
        ForeignRawFd, Pid, PidfdGetfdFlags, Signal, WaitOptions, kill_process, pidfd_getfd,
        set_parent_process_death_signal, waitpid,
    },
};

use super::{FOLDER, hold_path, image, open, sys, sys::Mapping, wire};

/// What a partner is asked to do. Slots are numbers of the worker's choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Request {
    /// Keep the descriptor sent along.
    Keep,
    /// Take the worker's descriptor with this number, by the pidfd kept in slot 0.
    Take,
    /// Open the hold of the inode with this number.
    Open,
    /// Give the descriptor sent along to a forked child.
    Fork,
    /// The same; released by an exec that closes it.
    ForkToExec,
    /// Give a forked child a private mapping of the file sent along; released by its death.
    ForkToDie,
    /// Run the file sent along.
    Run,
    /// Run a program whose interpreter is the file sent along.
    Interpret,
    /// Let go of what is in the slot.
    Release,
}

impl Request {
    const ALL: [Self; 9] = [
        Self::Keep,
        Self::Take,
        Self::Open,
        Self::Fork,
        Self::ForkToExec,
        Self::ForkToDie,
        Self::Run,
        Self::Interpret,
        Self::Release,
    ];
}

const MESSAGE: usize = 1 + 4 + 8;

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
        value: u64,
        file: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut message = [0; MESSAGE];
        message[0] = request as u8;
        message[1..5].copy_from_slice(&slot.to_le_bytes());
        message[5..].copy_from_slice(&value.to_le_bytes());
        wire::send(&self.socket, &message, file.as_slice())?;
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
    File(OwnedFd),
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
        let (length, file) = wire::receive(&socket, &mut message)?;
        if length == 0 {
            return Ok(());
        }
        ensure!(length == MESSAGE, "a request of {length} bytes");
        let request = Request::ALL[usize::from(message[0])];
        let slot = u32::from_le_bytes(message[1..5].try_into()?);
        let value = u64::from_le_bytes(message[5..].try_into()?);
        let result = house.act(request, slot, value, file);
        let answer = result.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        wire::send(&socket, &answer.to_le_bytes(), &[])?;
    }
}

struct House {
    slots: HashMap<u32, Held>,
    /// The descriptor that [`Self::interpreted`] names as its interpreter.
    interpreter: OwnedFd,
    nothing: OwnedFd,
    interpreted: PathBuf,
    ending: PathBuf,
}

impl House {
    fn new() -> Result<Self> {
        let nothing = OwnedFd::from(fs::File::open("/dev/null")?);
        let interpreter = nothing.try_clone()?;
        let path = format!("/proc/self/fd/{}", interpreter.as_raw_fd());
        let name = |role: &str| format!("{FOLDER}/{role}-{}-{}", std::process::id(), namespace());
        Ok(Self {
            slots: HashMap::new(),
            interpreter,
            nothing,
            interpreted: program(name("interpreted"), &image::interpreted(&path))?,
            ending: program(name("ending"), &image::ending())?,
        })
    }

    fn act(
        &mut self,
        request: Request,
        slot: u32,
        value: u64,
        file: Option<OwnedFd>,
    ) -> io::Result<()> {
        let given = || file.ok_or(io::Error::from_raw_os_error(libc::EBADF));
        let held = match request {
            Request::Keep => Held::File(given()?),
            Request::Take => Held::File(self.take(value)?),
            Request::Open => Held::File(open(hold_path(value), rustix::fs::OFlags::RDONLY)?),
            Request::Fork => fork(End::Killed, || idle(given()))?,
            Request::ForkToExec => {
                let ending = self.ending.clone();
                fork(End::Exec, || exec(given(), ending))?
            }
            Request::ForkToDie => fork(End::Swapping, || swap(given()))?,
            Request::Run => Held::Running(run(&given()?)?),
            Request::Interpret => Held::Running(self.interpret(&given()?)?),
            Request::Release => {
                let held = self.slots.remove(&slot);
                return release(held.ok_or(io::Error::from_raw_os_error(libc::ENOENT))?);
            }
        };
        self.slots.insert(slot, held);
        Ok(())
    }

    fn take(&self, descriptor: u64) -> io::Result<OwnedFd> {
        let Some(Held::File(worker)) = self.slots.get(&0) else {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        };
        Ok(pidfd_getfd(
            worker,
            descriptor as ForeignRawFd,
            PidfdGetfdFlags::empty(),
        )?)
    }

    fn interpret(&mut self, file: &OwnedFd) -> io::Result<Child> {
        dup2(file, &mut self.interpreter)?;
        let child = spawn(&self.interpreted);
        dup2(&self.nothing, &mut self.interpreter)?;
        child
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

fn program(path: String, image: &[u8]) -> Result<PathBuf> {
    let path = PathBuf::from(path);
    fs::write(&path, image).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn run(file: &OwnedFd) -> io::Result<Child> {
    spawn(&format!("/proc/self/fd/{}", file.as_raw_fd()).into())
}

fn spawn(path: &PathBuf) -> io::Result<Child> {
    Command::new(path)
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

fn idle(file: io::Result<OwnedFd>) -> io::Result<impl FnOnce()> {
    file.map(|file| || drop(file))
}

fn exec(file: io::Result<OwnedFd>, program: PathBuf) -> io::Result<impl FnOnce()> {
    file.map(|file| {
        move || {
            let _closed_by_exec = file;
            // Returns only where it failed.
            let _ = Command::new(program).exec();
        }
    })
}

fn swap(file: io::Result<OwnedFd>) -> io::Result<impl FnOnce()> {
    let mapping = Mapping::private(file?)?;
    Ok(move || {
        // Without room to swap to, it dies just so.
        while mapping.page_out().is_ok() {}
    })
}

fn release(held: Held) -> io::Result<()> {
    match held {
        Held::File(file) => drop(file),
        Held::Running(mut child) => {
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
