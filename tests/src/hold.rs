//! The program that holds one thing until it is killed.

use std::{env, fs, os::unix::fs::chroot, path::Path, process, thread};

use anyhow::{Context as _, bail};
use rustix::mm::MapFlags;

use crate::{kinds::Kind, sys::Mapping};

/// Where each that holds leaves its process's number, by its name.
pub const PIDS: &str = "/run/rousr-plants";

/// Which process holds under this name.
pub fn pid(name: &str) -> Option<u32> {
    let text = fs::read_to_string(Path::new(PIDS).join(name)).ok()?;
    text.trim().parse().ok()
}

/// Holds what is at `path` in a way of this name, says so by a file of this `name` in [`PIDS`], and stays.
///
/// # Errors
///
/// Fails where the kernel refuses, or there is no such way.
pub fn hold(way: &str, path: &Path, name: &str) -> anyhow::Result<()> {
    let said = Path::new(PIDS).join(name);
    let held: Box<dyn Send> = match way {
        "nothing" => Box::new(()),
        "working-directory" => Box::new(env::set_current_dir(path)?),
        "root" => {
            fs::write(&said, process::id().to_string())?;
            env::set_current_dir("/")?;
            Box::new(chroot(path)?)
        }
        "written-mapping" => {
            let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
            Box::new(Mapping::page(&file, MapFlags::SHARED)?)
        }
        way => match Kind::ALL.iter().find(|kind| kind.name() == way) {
            Some(kind) => Box::new(kind.hold(path)?),
            None => bail!("no way to hold is called {way}"),
        },
    };
    if way != "root" {
        fs::write(&said, process::id().to_string())
            .with_context(|| format!("cannot write {}", said.display()))?;
    }
    let _held = held;
    loop {
        thread::park();
    }
}
