//! A pristine guest that runs one command.

mod console;
pub(crate) mod disk;
mod ending;
mod payload;
mod qemu;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ChildStdout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::install::Installed;
use crate::lab::{kernel::Kernel, layout::Layout};
use crate::{lab, say};
pub(crate) use console::EmulatorFault;
pub(crate) use disk::Disks;
use ending::Scanner;
use qemu::Machine;

/// What a guest is and what it is given.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) kernel: Kernel,
    pub(crate) init: Init,
    /// What /usr lies on.
    pub(crate) layout: Layout,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    /// The guest's clock counts instructions; one CPU.
    pub(crate) icount: bool,
    /// More kernel arguments.
    pub(crate) append: String,
    /// Its disks.
    pub(crate) disks: Disks,
    /// A shell script that is run in the guest's root before its init.
    pub(crate) prepare: Option<&'static str>,
    /// From power-on to the command's end.
    pub(crate) timeout: Duration,
    /// rousr's files; empty for a guest without it.
    pub(crate) installed: Vec<Installed>,
    /// The folder copied to /run/share.
    pub(crate) share: Option<PathBuf>,
    /// The folder that receives what the command left in /run/out.
    pub(crate) out: Option<PathBuf>,
    /// A disk to be filled, which the guest finds by the link /run/rousr-lab/disk-blank.
    pub(crate) blank: Option<PathBuf>,
}

/// PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Init {
    /// A shell that mounts what a command expects and runs it; no service
    Sh,
    /// systemd, the command runs after multi-user.target
    Systemd,
}

impl Init {
    fn name(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Systemd => "systemd",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The command ended with this status; 128 and more for a signal, as a shell says it.
    Exited(u8),
    TimedOut,
    /// The user pressed Ctrl-C, or the task was asked to terminate.
    Interrupted,
    /// While the command ran.
    EmulatorFault(EmulatorFault),
}

/// What one boot came to.
enum Outcome {
    Ended(Ending),
    /// The guest went down by itself, or goes on no more.
    Down {
        started: bool,
        emulator: Option<EmulatorFault>,
        why: String,
    },
}

/// How often a guest is booted that goes down before it runs the command.
const BOOTS: u32 = 3;

/// How often a command is begun by [`Guest::run_whole`]. Two of three runs of all scenarios on 6.12
/// met the emulator's fault once.
const TRIES: u32 = 6;

/// What a plain guest has.
const MEMORY_MIB: u32 = 2048;

/// How many plain guests the machine's free memory is enough for.
pub(crate) fn fit_in_memory() -> usize {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = told
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|told| told.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    // A kernel that does not tell is none that guests run on.
    kib.map_or(1, |kib| kib / 1024 / MEMORY_MIB as usize)
}

impl Guest {
    /// A plain guest with systemd as PID 1, for a struct update.
    pub(crate) fn systemd(kernel: Kernel) -> Self {
        Self {
            kernel,
            init: Init::Systemd,
            layout: Layout::Ext4,
            cpus: 2,
            memory_mib: MEMORY_MIB,
            icount: false,
            append: String::new(),
            disks: Disks::Pristine,
            prepare: None,
            timeout: Duration::from_secs(300),
            installed: Vec::new(),
            share: None,
            out: None,
            blank: None,
        }
    }

    /// Boots, runs `command` (program and arguments) as root, writes its stdout and stderr to
    /// `output` as they come, and ends the guest. Blocks; guests may run in parallel threads.
    ///
    /// # Errors
    ///
    /// Where the guest cannot be started or goes down before the command ends; the message has
    /// the end of its console.
    pub(crate) fn run(&self, command: &[OsString], output: &mut dyn Write) -> Result<Ending> {
        let interrupted = interrupted()?;
        for _ in 1..BOOTS {
            match self.boot(command, interrupted, output)? {
                Outcome::Ended(ending) => return Ok(ending),
                Outcome::Down {
                    started: false,
                    why,
                    ..
                } => {
                    say::line(format!("guest: went down while booting, once more\n{why}"));
                }
                Outcome::Down {
                    emulator: Some(fault),
                    why,
                    ..
                } => {
                    say::line(format!("guest: {why}"));
                    return Ok(Ending::EmulatorFault(fault));
                }
                Outcome::Down { why, .. } => return Err(went_down(&why)),
            }
        }
        match self.boot(command, interrupted, output)? {
            Outcome::Ended(ending) => Ok(ending),
            Outcome::Down { why, .. } => Err(went_down(&why)),
        }
    }

    /// Like [`run`](Self::run), for a command whose output is of use only whole: by the emulator's
    /// fault it begins anew in a new guest, with a new `output`. Returns the last one.
    ///
    /// # Errors
    ///
    /// As `run`.
    pub(crate) fn run_whole<W: Write>(
        &self,
        command: &[OsString],
        mut output: impl FnMut() -> W,
    ) -> Result<(Ending, W)> {
        let mut tries = 1;
        loop {
            let mut sink = output();
            let ending = self.run(command, &mut sink)?;
            let Ending::EmulatorFault(fault) = ending else {
                return Ok((ending, sink));
            };
            if tries == TRIES {
                return Ok((ending, sink));
            }
            say::line(format!("guest: {fault}: once more"));
            tries += 1;
        }
    }

    fn boot(
        &self,
        command: &[OsString],
        interrupted: &AtomicBool,
        output: &mut dyn Write,
    ) -> Result<Outcome> {
        let scratch = TempDir::new().context("cannot create a temporary folder")?;
        let machine = Machine::in_folder(scratch.path());
        lab::initramfs::write(&machine.initramfs)?;
        payload::write(&machine.payload, self, command)
            .context("cannot pack what the guest is given")?;
        payload::create_out(&machine.out)?;

        let mut running = machine.start(self)?;
        let stdout = receive(running.stdout()?);
        let mut scanner = Scanner::default();
        let deadline = Instant::now() + self.timeout;
        let stalled = || EmulatorFault::told(&machine.console) == Some(EmulatorFault::Stall);
        let ending = follow(
            &stdout,
            &mut scanner,
            deadline,
            interrupted,
            stalled,
            output,
        )?;
        running.stop()?;
        let Some(ending) = ending else {
            let why = machine.errors() + &console::describe(&machine.console)?;
            return Ok(Outcome::Down {
                started: scanner.started(),
                emulator: EmulatorFault::told(&machine.console),
                why,
            });
        };
        if ending == Ending::TimedOut {
            say::line(console::describe(&machine.console)?);
        }
        self.fetch_out(&machine)?;
        Ok(Outcome::Ended(ending))
    }

    fn fetch_out(&self, machine: &Machine) -> Result<()> {
        let Some(folder) = &self.out else {
            return Ok(());
        };
        payload::fetch_out(&machine.out, folder)
            .with_context(|| format!("cannot unpack /run/out into {}", folder.display()))
    }
}

fn went_down(why: &str) -> Error {
    anyhow!("the guest went down before the command ended\n{why}")
}

/// Passes the command's output on until it ends; none when the guest went down before, or has
/// said nothing for long and `stalled`.
fn follow(
    chunks: &Receiver<Vec<u8>>,
    scanner: &mut Scanner,
    deadline: Instant,
    interrupted: &AtomicBool,
    stalled: impl Fn() -> bool,
    output: &mut dyn Write,
) -> Result<Option<Ending>> {
    /// How long Ctrl-C may take to be noticed.
    const TICK: Duration = Duration::from_millis(100);
    /// How often a silent guest is asked about.
    const SILENCE: Duration = Duration::from_secs(60);
    let mut asked = Instant::now();
    loop {
        if asked.elapsed() >= SILENCE {
            asked = Instant::now();
            if stalled() {
                return Ok(None);
            }
        }
        if interrupted.load(Ordering::Relaxed) {
            return Ok(Some(Ending::Interrupted));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Some(Ending::TimedOut));
        }
        let chunk = match chunks.recv_timeout(left.min(TICK)) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        };
        asked = Instant::now();
        let (said, status) = scanner.scan(&chunk);
        output
            .write_all(&said)
            .and_then(|()| output.flush())
            .context("cannot write the output")?;
        if let Some(status) = status {
            return Ok(Some(Ending::Exited(status)));
        }
    }
}

/// Reads `stdout` in a thread of its own, so that a wait for it can have a deadline.
fn receive(mut stdout: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Set once the user wants the task to end. From the first guest on the task ends by itself, so
/// that no guest and no temporary file outlives it.
fn interrupted() -> Result<&'static AtomicBool> {
    static FLAG: LazyLock<std::io::Result<Arc<AtomicBool>>> = LazyLock::new(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(flag)
    });
    match &*FLAG {
        Ok(flag) => Ok(flag),
        Err(error) => bail!("cannot handle signals: {error}"),
    }
}
