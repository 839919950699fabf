//! The standard library's source, of exactly the active rustc, where `-Z build-std` looks for it.
//!
//! rustup has it; else Debian's package of the same version, from whichever suite; else the
//! tarball named in `ROUSR_RUST_SRC`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::archive::{self, Archive};
use crate::process;
use crate::say::Step;

/// Debian's suites with a rust-src, the likeliest first.
const SUITES: [&str; 4] = ["trixie-backports", "sid", "trixie", "bookworm"];

const TARBALL: &str = "ROUSR_RUST_SRC";

/// The version whose source is in place.
pub(super) fn present() -> Result<Option<String>> {
    let rustc = Rustc::active()?;
    let marker = rustc.library().join("core/Cargo.toml");
    Ok(marker.exists().then_some(rustc.version))
}

/// Puts it in place.
pub(super) fn provide(step: &Step) -> Result<()> {
    let rustc = Rustc::active()?;
    let mut tried = Vec::new();
    let sources: [(&str, Source); 3] = [
        ("rustup", from_rustup),
        ("Debian", from_debian),
        (TARBALL, from_tarball),
    ];
    for (name, take) in sources {
        step.now(&format!("{} from {name}", rustc.version));
        match take(&rustc) {
            Ok(()) => return Ok(()),
            Err(error) => tried.push(format!("  {name}: {error:#}")),
        }
    }
    bail!(
        "no source of rustc {}; make one of these work:\n{}",
        rustc.version,
        tried.join("\n")
    )
}

/// Takes the source from somewhere and puts it in place.
type Source = fn(&Rustc) -> Result<()>;

/// The active compiler.
struct Rustc {
    sysroot: PathBuf,
    version: String,
}

impl Rustc {
    fn active() -> Result<Self> {
        let ask = |option| process::read_text(Command::new("rustc").arg(option));
        let sysroot = PathBuf::from(ask("--print=sysroot")?.trim_end());
        ensure!(
            sysroot.is_absolute(),
            "rustc's sysroot is no absolute path: {sysroot:?}"
        );
        let said = ask("-vV")?;
        let version = said.lines().find_map(|line| line.strip_prefix("release: "));
        let version = version.context("rustc -vV prints no release")?.to_owned();
        Ok(Self { sysroot, version })
    }

    /// Where the source belongs.
    fn library(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// A folder beside it to unpack into, so that it appears complete or not at all.
    fn draft(&self) -> Result<TempDir> {
        let folder = self.sysroot.join("lib/rustlib/src/rust");
        let draft = fs::create_dir_all(&folder).and_then(|()| TempDir::new_in(&folder));
        draft.with_context(|| {
            format!(
                "cannot write to {}: run `cargo xtask setup` as its owner",
                folder.display()
            )
        })
    }

    fn put_in_place(&self, library: &Path) -> Result<()> {
        ensure!(
            library.join("core/Cargo.toml").exists(),
            "it holds no library/core"
        );
        fs::rename(library, self.library())
            .with_context(|| format!("cannot rename to {}", self.library().display()))
    }
}

fn from_rustup(_: &Rustc) -> Result<()> {
    let add = ["60", "rustup", "component", "add", "rust-src"];
    process::read(
        Command::new("timeout")
            .env("RUSTUP_MAX_RETRIES", "0")
            .args(add),
    )?;
    Ok(())
}

fn from_debian(rustc: &Rustc) -> Result<()> {
    for suite in SUITES {
        let archive = Archive::open(suite)?;
        let Ok(versions) = archive.versions("rust-src") else {
            continue;
        };
        let fits = |version: &str| {
            version
                .strip_prefix(&rustc.version)
                .is_some_and(|rest| rest.starts_with(['+', '-']))
        };
        let Some(package) = versions.iter().find(|package| fits(&package.version)) else {
            continue;
        };
        let draft = rustc.draft()?;
        let deb = archive.download(package, draft.path())?;
        archive::unpack(&deb, draft.path())?;
        let source = draft
            .path()
            .join(format!("usr/src/rustc-{}", rustc.version));
        return rustc.put_in_place(&source.join("library"));
    }
    bail!("no rust-src {} in {}", rustc.version, SUITES.join(", "))
}

fn from_tarball(rustc: &Rustc) -> Result<()> {
    let Some(tarball) = env::var_os(TARBALL).map(PathBuf::from) else {
        bail!(
            "not set: name a rust-src-{}.tar.xz with its SHA256SUMS beside it",
            rustc.version
        );
    };
    let name = tarball
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    ensure!(
        name.contains(&rustc.version),
        "{name} is not of rustc {}",
        rustc.version
    );
    verify(&tarball, name)?;
    let draft = rustc.draft()?;
    process::read(
        Command::new("tar")
            .arg("-xJf")
            .args([&tarball, Path::new("-C"), draft.path()]),
    )?;
    rustc.put_in_place(&draft.path().join("library"))
}

/// Checks `tarball` against the SHA256SUMS beside it.
fn verify(tarball: &Path, name: &str) -> Result<()> {
    let content =
        fs::read(tarball).with_context(|| format!("cannot read {}", tarball.display()))?;
    let sums = tarball.with_file_name("SHA256SUMS");
    let sums =
        fs::read_to_string(&sums).with_context(|| format!("cannot read {}", sums.display()))?;
    let expected = sums.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        (file.trim_start_matches([' ', '*']) == name).then_some(sum)
    });
    let expected = expected.with_context(|| format!("SHA256SUMS does not know {name}"))?;
    let actual = format!("{:x}", Sha256::digest(content));
    ensure!(
        actual == expected,
        "{name} is damaged: its SHA-256 is {actual}, not {expected}"
    );
    Ok(())
}
