//! The packages that a guest upgrades, in an older version: OpenSSL, of which it has the newer one too, and
//! others that wait for a whole upgrade (`cargo xtask upgrade`).

use std::cmp::Ordering;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::repack::repack;
use crate::archive::{Archive, Package};
use crate::{cache, lab, process};

/// Binary packages of one source: they are upgraded together.
pub(crate) const PACKAGES: [&str; 3] = ["libssl3t64", "openssl", "openssl-provider-legacy"];

/// What the image has in the oldest version that the archive has, too: of these it has had two.
const OLDER: [&str; 13] = [
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkrb5-3",
    "libkrb5support0",
    "libnghttp2-14",
    "libssh2-1t64",
    "libxml2",
    "libzstd1",
    "login.defs",
    "openssh-client",
    "openssh-server",
    "openssh-sftp-server",
    "passwd",
];

/// The old version of OpenSSL, which the image has installed; none where nothing is cached.
pub(crate) fn old_version() -> Result<Option<String>> {
    Ok(match pins()?.exists() {
        true => fs::read_to_string(folder()?.join("old")).ok(),
        false => None,
    })
}

/// The cached preferences of apt that have the image install the old versions.
pub(crate) fn pins() -> Result<PathBuf> {
    Ok(folder()?.join("pins"))
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
    let mut pins = String::new();
    for name in OLDER {
        pins += &pin(&ends(&archive, name)?.0);
    }
    for name in PACKAGES {
        let (oldest, newest) = ends(&archive, name)?;
        pins += &pin(&oldest);
        let deb = archive.download(&oldest, &repository)?;
        if oldest == newest {
            let newer = repository.join(format!("{name}.newer.deb"));
            fs::copy(&deb, &newer)?;
            // Of one source, all of them are.
            let version = format!("{}+rousr1", oldest.version);
            let is_ours = |name: &str, old: &str| PACKAGES.contains(&name) && old == oldest.version;
            repack(&newer, &version, |name, old| {
                is_ours(name, old).then(|| version.clone())
            })?;
        } else {
            archive.download(&newest, &repository)?;
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
    fs::write(draft.path().join("pins"), pins)?;
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

/// The oldest and the newest version in the archive.
fn ends(archive: &Archive, name: &str) -> Result<(Package, Package)> {
    let mut versions = sorted(archive.versions(name)?)?.into_iter();
    let oldest = versions.next().with_context(|| format!("no {name}"))?;
    let newest = versions.next_back().unwrap_or_else(|| oldest.clone());
    Ok((oldest, newest))
}

fn pin(Package { name, version, .. }: &Package) -> String {
    format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n")
}
