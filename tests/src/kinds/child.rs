//! Processes, and a thread, that hold.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_open};
use tempfile::{NamedTempFile, TempDir, TempPath};

use super::apart::Apart;
use crate::sys::OwnTable;

/// Held while a child has, or may have, descriptors of this process that are not meant for it.
static STARTING: Mutex<()> = Mutex::new(());

fn starting() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no child that this module started has descriptors that are not meant for it: a file
/// that was closed before is closed then.
///
/// Another thread's child has all descriptors of this process between fork and exec. So a file that
/// was just written can still be open for writing, and cannot be executed.
pub fn wait_for_exec() {
    drop(starting());
}

/// A program that ends with its standard input.
pub(super) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
}

impl Running {
    /// Starts a program that echoes a line, and returns once it did: by then exec is over, and what
    /// it closed is closed.
    fn start(command: &mut Command) -> io::Result<Self> {
        let _starting = starting();
        Self::start_alone(command)
    }

    fn start_alone(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut running = Self {
            input: child.stdin.take(),
            output: child.stdout.take(),
            child,
        };
        running.shake_hands()?;
        Ok(running)
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let (Some(input), Some(output)) = (&mut self.input, &mut self.output) else {
            unreachable!("both are pipes");
        };
        input.write_all(b"ready\n")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        match line.as_str() {
            "ready\n" => Ok(()),
            _ => Err(io::Error::other(format!(
                "the program said {line:?}, not ready"
            ))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.output.take();
        self.input.take();
        let ended = self.child.wait();
        assert!(ended.is_ok(), "{ended:?}");
    }
}

/// The descriptor outlives the exec of a child here, not there.
pub(super) fn close_on_exec(path: &Path) -> io::Result<(File, Running)> {
    let file = File::open(path)?;
    Ok((file, Running::start(&mut Command::new("cat"))?))
}

pub(super) fn fork(path: &Path) -> io::Result<Running> {
    // An open file that a program need not know: its standard error.
    Running::start(Command::new("cat").stderr(File::open(path)?))
}

pub(super) fn pidfd_getfd(path: &Path) -> io::Result<OwnedFd> {
    const STANDARD_ERROR: i32 = 2;
    let owner = fork(path)?;
    let pidfd = pidfd_open(Pid::from_child(&owner.child), PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(
        &pidfd,
        STANDARD_ERROR,
        PidfdGetfdFlags::empty(),
    )?)
}

pub(super) fn executable(path: &Path) -> io::Result<Running> {
    Running::start(&mut Command::new(path))
}

pub(super) fn script(path: &Path) -> io::Result<Running> {
    executable(path)
}

pub(super) fn interpreter(path: &Path) -> io::Result<(Running, TempPath)> {
    // A child that still had the script open for writing would make its exec fail.
    let _starting = starting();
    let mut script = NamedTempFile::new()?;
    // It reads its standard input first.
    writeln!(script, "#!{} -", path.display())?;
    script
        .as_file()
        .set_permissions(fs::Permissions::from_mode(0o700))?;
    let script = script.into_temp_path();
    Ok((Running::start_alone(&mut Command::new(&script))?, script))
}

/// A shell in its own mount and pid namespaces and with another root has the file open.
pub(super) fn container(path: &Path) -> io::Result<(Running, TempDir)> {
    const ENTER: &str = r#"mount --rbind / "$1" && exec chroot "$1" sh -c "$2" sh "$3""#;
    const HOLD: &str = r#"exec 3<"$1"; read line; echo "$line"; read line"#;
    let root = tempfile::tempdir()?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "sh", "-c", ENTER, "sh"])
        .args([root.path(), Path::new(HOLD), path]);
    Ok((Running::start(&mut command)?, root))
}

/// A thread with a table of descriptors of its own.
pub(super) fn thread_table(path: &Path) -> io::Result<Apart> {
    // The new table begins as a copy of this process's.
    let _starting = starting();
    let file = File::open(path)?;
    let number = file.as_raw_fd();
    Apart::start(move || OwnTable::with_only(number))
}
