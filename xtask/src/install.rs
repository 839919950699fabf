//! What a package of rousr would install, built from this workspace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, lab, process};

/// One file of the installation.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub(crate) source: PathBuf,
    /// Relative to the root folder.
    pub(crate) destination: &'static str,
    pub(crate) mode: u32,
}

/// Files installed as they are in the workspace.
const FILES: [(&str, &str); 7] = [
    (
        "rousr-user/dist/rousr.service",
        "usr/lib/systemd/system/rousr.service",
    ),
    (
        "rousr-user/dist/rousr-settle.service",
        "usr/lib/systemd/system/rousr-settle.service",
    ),
    ("rousr-user/dist/apt/01rousr", "etc/apt/apt.conf.d/01rousr"),
    (
        "rousr-user/dist/apt/zz-rousr",
        "etc/apt/apt.conf.d/zz-rousr",
    ),
    ("rousr-user/dist/dpkg/rousr", "etc/dpkg/dpkg.cfg.d/rousr"),
    ("docs/man/rousr.8", "usr/share/man/man8/rousr.8"),
    ("docs/man/rousr.conf.5", "usr/share/man/man5/rousr.conf.5"),
];

const UNITS: &str = "usr/lib/systemd/system/";

/// Builds rousr for a guest and lists what belongs to it.
pub(crate) fn build(release: bool) -> Result<Vec<Installed>> {
    let optimized: &[&str] = if release { &["--release"] } else { &[] };
    list(build_binary(optimized, "guest")?)
}

/// The same with the points at which a test lets it die.
pub(crate) fn build_with_steps() -> Result<Vec<Installed>> {
    list(build_binary(&["--features=steps"], "steps")?)
}

fn list(source: PathBuf) -> Result<Vec<Installed>> {
    check_c_library()?;
    let mut files = vec![Installed {
        source,
        destination: "usr/sbin/rousr",
        mode: 0o755,
    }];
    files.extend(FILES.map(|(source, destination)| Installed {
        source: lab::workspace().join(source),
        destination,
        mode: 0o644,
    }));
    Ok(files)
}

/// The links that enable the units, as their `[Install]` sections say: each one's path, relative to the
/// root folder, and where it points.
pub(crate) fn enabling_links(files: &[Installed]) -> Result<Vec<(String, String)>> {
    let mut links = Vec::new();
    for file in files {
        let Some(name) = file.destination.strip_prefix(UNITS) else {
            continue;
        };
        let unit = fs::read_to_string(&file.source)
            .with_context(|| format!("cannot read {}", file.source.display()))?;
        let targets = unit
            .lines()
            .filter_map(|line| line.strip_prefix("WantedBy="));
        for target in targets.flat_map(str::split_whitespace) {
            links.push((
                format!("etc/systemd/system/{target}.wants/{name}"),
                format!("/{}", file.destination),
            ));
        }
    }
    Ok(links)
}

fn build_binary(options: &[&str], suffix: &str) -> Result<PathBuf> {
    let arguments = [&["build", "--package=rousr-user"], options].concat();
    let binary = cargo::program(&arguments, "rousr")?;
    // Beside it.
    let stripped = binary.with_extension(suffix);
    cargo::strip(&binary, &stripped)?;
    Ok(stripped)
}

/// The binary is linked against this machine's C library: the guest's must not be older.
fn check_c_library() -> Result<()> {
    let host = process::read_text(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let guest = lab::image::folder()?.join("glibc");
    let guest =
        fs::read_to_string(&guest).with_context(|| format!("cannot read {}", guest.display()))?;
    match (c_library(&host), c_library(&guest)) {
        (Some(host), Some(guest)) if host <= guest => Ok(()),
        _ => bail!(
            "rousr built here needs {}, the guest has {}: build on Debian {} or older",
            host.trim(),
            guest.trim(),
            lab::RELEASE
        ),
    }
}

/// The version in `glibc 2.36`.
fn c_library(said: &str) -> Option<(u32, u32)> {
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
