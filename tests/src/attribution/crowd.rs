//! Many processes, each with many mappings of libraries.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, ensure};

use crate::{Background, wait};

/// At least so many processes,
pub(crate) const PROCESSES: usize = 1000;
/// and so many mappings of all together.
pub(crate) const MAPPINGS: u64 = 100_000;

/// Libraries that each process has beside those of a shell, and those that they want; the linker maps
/// each in five pieces.
const LIBRARIES: usize = 11;

const FOLDER: &str = "/usr/lib/x86_64-linux-gnu";

/// The processes; ended on drop.
pub(crate) struct Crowd {
    _shell: Background,
}

impl Crowd {
    /// A shell loads the libraries, opens two files and forks. The children share what fork(2) makes
    /// them share, and wait for a line that never comes.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let libraries = libraries()?;
        let fork = format!(
            "exec 7</usr/bin/env 8</usr/bin/dash 9<>/run/crowd; i=0; \
             while [ $i -lt {PROCESSES} ]; do (read line <&9) & i=$((i+1)); done; \
             echo >/run/crowd.ready; read line <&9"
        );
        let made = Command::new("mkfifo").arg("/run/crowd").status()?;
        ensure!(made.success(), "mkfifo /run/crowd: {made}");
        let preload = libraries.join(":");
        let shell = Background::start(&format!("env LD_PRELOAD={preload} sh -c '{fork}'"));
        wait(Duration::from_secs(120), "the crowd is there", || {
            fs::exists("/run/crowd.ready").unwrap_or(false)
        });
        Ok(Self { _shell: shell })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Each child takes a line and ends. The guest ends anyway.
        let lines = "\n".repeat(PROCESSES + 1);
        let _ = fs::OpenOptions::new()
            .write(true)
            .open("/run/crowd")
            .and_then(|mut fifo| std::io::Write::write_all(&mut fifo, lines.as_bytes()));
    }
}

/// Files of libraries that the guest has, without those that every program has.
fn libraries() -> anyhow::Result<Vec<String>> {
    const COMMON: [&str; 3] = ["ld-linux", "libc.so", "libc-"];
    let entries = fs::read_dir(FOLDER).with_context(|| format!("cannot list {FOLDER}"))?;
    let mut libraries: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_library = name.starts_with("lib") && name.contains(".so.");
            let is_common = COMMON.iter().any(|common| name.starts_with(common));
            let is_file = entry.file_type().ok()?.is_file();
            (is_library && is_file && !is_common).then(|| entry.path())
        })
        .collect();
    libraries.sort();
    libraries.truncate(LIBRARIES);
    ensure!(
        libraries.len() == LIBRARIES,
        "{FOLDER} has only {libraries:?}"
    );
    let libraries = libraries.iter();
    Ok(libraries
        .map(|path| path.to_string_lossy().into_owned())
        .collect())
}
