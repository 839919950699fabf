//! The packages that a guest upgrades: OpenSSL, an older and a newer version.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::archive::{Archive, Package};
use crate::{cache, lab, process};

/// Binary packages of one source: they are upgraded together.
pub(crate) const PACKAGES: [&str; 3] = ["libssl3t64", "openssl", "openssl-provider-legacy"];

/// The old version, which the image has installed; none where nothing is cached.
pub(crate) fn old_version() -> Result<Option<String>> {
    Ok(fs::read_to_string(folder()?.join("old")).ok())
}

/// The cached repository with both versions.
pub(crate) fn repository() -> Result<PathBuf> {
    Ok(folder()?.join("archive"))
}

/// Fetches both versions. Where Debian has only one, the newer is the same one repacked.
pub(crate) fn provide() -> Result<()> {
    let target = folder()?;
    let draft = cache::draft(&target)?;
    let repository = draft.path().join("archive");
    fs::create_dir(&repository)?;
    let archive = Archive::open(lab::RELEASE)?;
    let mut old = String::new();
    for name in PACKAGES {
        let versions = sorted(archive.versions(name)?)?;
        let (oldest, newest) = ends(&versions).with_context(|| format!("no {name}"))?;
        let deb = archive.download(oldest, &repository)?;
        match oldest == newest {
            true => repack(&deb, &format!("{}+rousr1", oldest.version))?,
            false => drop(archive.download(newest, &repository)?),
        }
        old.clone_from(&oldest.version);
    }
    let index = process::read(
        Command::new("dpkg-scanpackages")
            .args(["--multiversion", "."])
            .current_dir(&repository),
    )?;
    fs::write(repository.join("Packages"), index)?;
    fs::write(draft.path().join("old"), old)?;
    cache::publish(draft, &target)
}

fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("upgrade"))
}

/// `versions` in Debian's order, oldest first.
fn sorted(mut versions: Vec<Package>) -> Result<Vec<Package>> {
    let mut failed = None;
    versions.sort_by(|one, other| {
        is_older(&one.version, &other.version).unwrap_or_else(|error| {
            failed = Some(error);
            Ordering::Equal
        })
    });
    failed.map_or(Ok(versions), Err)
}

fn is_older(one: &str, other: &str) -> Result<Ordering> {
    if one == other {
        return Ok(Ordering::Equal);
    }
    let compared = Command::new("dpkg")
        .args(["--compare-versions", one, "lt", other])
        .status();
    let older = compared.context("cannot run dpkg")?.success();
    Ok(if older {
        Ordering::Less
    } else {
        Ordering::Greater
    })
}

fn ends(versions: &[Package]) -> Option<(&Package, &Package)> {
    Some((versions.first()?, versions.last()?))
}

/// Packs the package file `deb` again beside it, as `version`: the same content in new inodes.
fn repack(deb: &Path, version: &str) -> Result<()> {
    let folder = deb.parent().context("a package file lies in a folder")?;
    let tree = tempfile::tempdir()?;
    process::read(Command::new("dpkg-deb").arg("-R").args([deb, tree.path()]))?;
    let control = tree.path().join("DEBIAN/control");
    let renamed: Vec<String> = fs::read_to_string(&control)?
        .lines()
        .map(|line| match line.starts_with("Version: ") {
            true => format!("Version: {version}"),
            false => line.to_owned(),
        })
        .collect();
    fs::write(&control, renamed.join("\n") + "\n")?;
    let build = ["--root-owner-group", "-Zgzip", "-b"];
    process::read(
        Command::new("dpkg-deb")
            .args(build)
            .args([tree.path(), folder]),
    )?;
    Ok(())
}
