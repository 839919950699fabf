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
const FILES: [(&str, &str); 5] = [
    ("rousr-user/dist/rousr.service", UNIT),
    ("rousr-user/dist/apt/01rousr", "etc/apt/apt.conf.d/01rousr"),
    (
        "rousr-user/dist/apt/zz-rousr",
        "etc/apt/apt.conf.d/zz-rousr",
    ),
    ("docs/man/rousr.8", "usr/share/man/man8/rousr.8"),
    ("docs/man/rousr.conf.5", "usr/share/man/man5/rousr.conf.5"),
];

const UNIT: &str = "usr/lib/systemd/system/rousr.service";

/// Builds rousr for a guest and lists what belongs to it.
pub(crate) fn build(release: bool) -> Result<Vec<Installed>> {
    let source = build_binary(release)?;
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

/// The links that enable the unit: each one's path, relative to the root folder.
pub(crate) fn enabling_links(files: &[Installed]) -> Result<Vec<String>> {
    let Some(unit) = files.iter().find(|file| file.destination == UNIT) else {
        return Ok(Vec::new());
    };
    let unit = fs::read_to_string(&unit.source)
        .with_context(|| format!("cannot read {}", unit.source.display()))?;
    let targets = unit
        .lines()
        .filter_map(|line| line.strip_prefix("WantedBy="));
    let link = |target| format!("etc/systemd/system/{target}.wants/rousr.service");
    Ok(targets.flat_map(str::split_whitespace).map(link).collect())
}

/// Where an enabling link points.
pub(crate) const ENABLED_UNIT: &str = "/usr/lib/systemd/system/rousr.service";

fn build_binary(release: bool) -> Result<PathBuf> {
    let optimized: &[&str] = if release { &["--release"] } else { &[] };
    let arguments = [&["build", "--package=rousr-user"], optimized].concat();
    let binary = cargo::program(&arguments, "rousr")?;
    // Beside it.
    let stripped = binary.with_extension("guest");
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
