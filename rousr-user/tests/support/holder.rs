//! A holder that the tests of the crate and of its parts share.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Another process that has `path` open until its input ends.
pub(crate) fn holder_of(path: &Path) -> Child {
    let mut holder = Command::new("sh")
        .args(["-c", "exec 3<\"$0\"; echo; read _"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let ready = holder.stdout.as_mut().expect("is a pipe");
    ready.read_exact(&mut [0]).expect("says that it is ready");
    holder
}
