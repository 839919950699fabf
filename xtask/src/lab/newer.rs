//! A newer state of the guests' image: a repository with another version of what runs in every guest.
//!
//! Of what the archive has in a newer version than the image, that one; of the rest the installed version,
//! packed again under a higher number: the same files in new inodes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rousr_figures::upgrade::Change;
use sha2::{Digest as _, Sha256};

use super::control::{self, Installed};
use super::image;
use super::repack::repack;
use crate::archive::{Archive, Package};
use crate::{cache, lab, process};

/// Whose packages change, all that the image has of each: what runs in every guest, what daemons and sessions
/// are made of, and what all that is linked with. The packages of one source depend on each other's exact version.
const SOURCES: [&str; 56] = [
    "acl",
    "apt",
    "attr",
    "audit",
    "bash",
    "bzip2",
    "coreutils",
    "dash",
    "dbus",
    "dpkg",
    "e2fsprogs",
    "expat",
    "gcc-14",
    "glib2.0",
    "glibc",
    "gmp",
    "gnutls28",
    "grep",
    "gzip",
    "init-system-helpers",
    "kmod",
    "krb5",
    "libcap-ng",
    "libcap2",
    "libffi",
    "libidn2",
    "libseccomp",
    "libselinux",
    "libssh2",
    "libunistring",
    "libxcrypt",
    "libxml2",
    "libzstd",
    "lz4",
    "ncurses",
    "nettle",
    "nghttp2",
    "openssh",
    "openssl",
    "p11-kit",
    "pam",
    "pcre2",
    "perl",
    "policykit-1",
    "procps",
    "python3-defaults",
    "python3.13",
    "readline",
    "sed",
    "shadow",
    "sqlite3",
    "systemd",
    "tcp-wrappers",
    "util-linux",
    "xz-utils",
    "zlib",
];

/// The repository of the image as it is.
pub(crate) fn folder() -> Result<PathBuf> {
    let image = image::folder()?;
    let key = image.file_name().context("an image has a name")?;
    Ok(cache::folder()?.join(format!("newer-{}", key.to_string_lossy())))
}

/// What changes; none where nothing is cached.
pub(crate) fn changes() -> Result<Option<Vec<Change>>> {
    match fs::read(folder()?.join(LIST)) {
        Ok(list) => Ok(Some(serde_json::from_slice(&list).context(LIST)?)),
        Err(_) => Ok(None),
    }
}

const LIST: &str = "changes.json";

/// Fetches and packs all of it.
pub(crate) fn provide() -> Result<()> {
    let target = folder()?;
    let draft = cache::draft(&target)?;
    let status = status_of_image()?;
    let installed = control::installed(&status);
    let (changing, staying): (Vec<_>, Vec<_>) = installed
        .iter()
        .partition(|package| SOURCES.contains(&package.source.as_str()));
    let archive = Archive::open(lab::RELEASE)?;
    let changes = plan(&archive, &changing)?;
    check(&staying, &changes)?;

    let wanted: Vec<Package> = changes.iter().map(fetched).collect();
    archive.download_all(&wanted, draft.path())?;
    let versions: BTreeMap<&str, &Change> = changes
        .iter()
        .map(|change| (change.name.as_str(), change))
        .collect();
    for downloaded in listed(draft.path())? {
        let name = process::read_text(
            Command::new("dpkg-deb")
                .arg("-f")
                .arg(&downloaded)
                .arg("Package"),
        )?;
        let change = versions
            .get(name.trim())
            .with_context(|| format!("{} was not asked for", downloaded.display()))?;
        let deb = draft.path().join(format!("{}.deb", change.name));
        fs::rename(downloaded, &deb)?;
        if change.is_repacked {
            repack(&deb, &change.new, |name, version| {
                let change = versions.get(name).filter(|change| change.old == version)?;
                Some(change.new.clone())
            })?;
        }
    }
    publish(&changes, draft.path())?;
    cache::publish(draft, &target)
}

/// dpkg's status file, out of the image.
fn status_of_image() -> Result<String> {
    let disk = image::folder()?.join("root.img");
    process::read_text(
        Command::new("debugfs")
            .args(["-R", "cat /var/lib/dpkg/status"])
            .arg(disk),
    )
}

fn plan(archive: &Archive, changing: &[&Installed]) -> Result<Vec<Change>> {
    let names: Vec<&str> = changing.iter().map(|package| &*package.name).collect();
    let mut newest = BTreeMap::new();
    // Newest first.
    for Package { name, version, .. } in archive.all_versions(&names)?.into_iter().rev() {
        newest.insert(name, version);
    }
    let change = |&package: &&Installed| {
        let Installed {
            name,
            version,
            source,
            kib,
            ..
        } = package;
        let newest = newest
            .get(name)
            .with_context(|| format!("the archive has no {name}"))?;
        let is_repacked = version == newest;
        Ok(Change {
            name: name.clone(),
            source: source.clone(),
            old: version.clone(),
            new: match is_repacked {
                true => format!("{version}+rousr1"),
                false => newest.clone(),
            },
            kib: *kib,
            is_repacked,
        })
    };
    changing.iter().map(change).collect()
}

/// No package that stays may depend on the exact version of one that changes.
fn check(staying: &[&Installed], changes: &[Change]) -> Result<()> {
    for package in staying {
        for Change { name, old, .. } in changes {
            ensure!(
                !control::needs_exactly(&package.stanza, name, old),
                "{} needs exactly the installed version of {name}: add its source {} to those that change",
                package.name,
                package.source
            );
        }
    }
    Ok(())
}

/// The version that the archive has.
fn fetched(change: &Change) -> Package {
    let version = if change.is_repacked {
        &change.old
    } else {
        &change.new
    };
    Package {
        name: change.name.clone(),
        version: version.clone(),
        depends: Vec::new(),
    }
}

/// What is in a folder.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// Copies the packages of `changes` into `folder`, as a repository and with the list.
pub(crate) fn copy(changes: &[Change], folder: &Path) -> Result<()> {
    for Change { name, .. } in changes {
        let deb = format!("{name}.deb");
        fs::copy(self::folder()?.join(&deb), folder.join(&deb)).context(deb)?;
    }
    publish(changes, folder)
}

/// Writes index and list of a folder that has the packages.
fn publish(changes: &[Change], folder: &Path) -> Result<()> {
    index(folder)?;
    let list = serde_json::to_string_pretty(changes)?;
    fs::write(folder.join(LIST), list).context(LIST)
}

/// Makes the folder a repository that is what unattended-upgrades takes for Debian's security archive.
fn index(folder: &Path) -> Result<()> {
    let mut scan = Command::new("dpkg-scanpackages");
    let packages = process::read(scan.arg(".").current_dir(folder))?;
    fs::write(folder.join("Packages"), &packages)?;
    let release = format!(
        "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: {}-security\n\
         SHA256:\n {:x} {} Packages\n",
        lab::RELEASE,
        Sha256::digest(&packages),
        packages.len()
    );
    fs::write(folder.join("Release"), release)?;
    Ok(())
}
