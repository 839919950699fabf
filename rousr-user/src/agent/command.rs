//! A command that runs on behalf of this process.

use std::{ffi::OsString, io, process::ExitStatus};

use tokio::{
    process::{Child, Command},
    signal::unix::{self, SignalKind},
};

use crate::sys::process::{Signal, send};

/// Runs it to its end. Ctrl-C and Ctrl-\ are for the command alone, and what asks this process to end
/// is passed on to it.
///
/// # Errors
///
/// Fails where it cannot be started: as execve(2), or where signals cannot be waited for.
pub fn run(program: &OsString, arguments: &[OsString]) -> io::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    let signals = Signals::receive()?;
    let child = Command::new(program).args(arguments).spawn()?;
    runtime.block_on(wait(child, signals))
}

/// What would end this process before its command.
struct Signals {
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn receive() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }
}

async fn wait(mut child: Child, mut signals: Signals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            // The terminal sends these two to the command as well.
            _ = signals.interrupt.recv() => {}
            _ = signals.quit.recv() => {}
            _ = signals.terminate.recv() => pass_on(&child, Signal::TERM),
            _ = signals.hang_up.recv() => pass_on(&child, Signal::HUP),
        }
    }
}

fn pass_on(child: &Child, signal: Signal) {
    if let Some(pid) = child.id() {
        // It may have ended meanwhile.
        let _ = send(pid, signal);
    }
}
