//! The agent executes itself anew, so that it never holds what was replaced.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Options,
    belongings::{Belongings, PASSED},
    guard,
};
use crate::sys::image::{copy_of_this, execute, path_of};

/// Where rousr is installed.
pub(super) const PROGRAM: &str = "/usr/sbin/rousr";

/// Whether an agent could be started anew by somebody else.
pub(super) fn is_installed() -> bool {
    Path::new(PROGRAM).exists()
}

/// Executes the program as it is installed by now. Where it is not, a copy of this one goes on as a guard
/// that holds nothing on any filesystem. Returns only where that fails.
pub(super) fn take_over(belongings: &Belongings, options: Options) -> io::Error {
    let Options {
        ring_bytes,
        is_guard,
    } = options;
    let copy;
    let (program, is_guard) = match is_runnable(Path::new(PROGRAM)) {
        true => (PathBuf::from(PROGRAM), is_guard),
        false => {
            copy = match copy_of_this() {
                Ok(copy) => copy,
                Err(error) => return error,
            };
            (path_of(&copy).into(), is_guard || !is_installed())
        }
    };
    let mut arguments: Vec<OsString> = vec!["agent".into()];
    arguments.extend(["--ring-bytes".into(), ring_bytes.to_string().into()]);
    if is_guard {
        arguments.push(guard::OPTION.into());
    }
    execute(
        &program,
        &arguments,
        (OsStr::new(PASSED), OsStr::new(&belongings.passed())),
        &belongings.descriptors(),
    )
}

/// An unpacked program can still miss its libraries: this one lives on then.
fn is_runnable(program: &Path) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdin(Stdio::null());
    version.stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
