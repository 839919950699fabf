//! Debian's cloud kernels: image and modules, fetched and unpacked, not installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::archive::{self, Archive};
use crate::cache;

/// A kernel that guests boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// Bookworm's
    #[value(name = "6.1")]
    Bookworm,
    /// Trixie's
    #[value(name = "6.12")]
    Trixie,
    /// The newest in trixie-backports
    #[value(name = "7.x", alias = "7.3")]
    Backports,
}

impl Kernel {
    /// All of them; the guest's image holds the modules of each.
    pub(crate) const ALL: [Self; 3] = [Self::Bookworm, Self::Trixie, Self::Backports];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "6.1",
            Self::Trixie => "6.12",
            Self::Backports => "7.x",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Backports => "trixie-backports",
        }
    }

    /// The version of the cached one, such as `6.12.117-1`; none where nothing is cached.
    pub(crate) fn version(self) -> Result<Option<String>> {
        Ok(fs::read_to_string(self.folder()?.join("version")).ok())
    }

    /// The cached bootable image.
    pub(crate) fn image(self) -> Result<PathBuf> {
        Ok(self.folder()?.join("vmlinuz"))
    }

    /// Fetches the newest version of the suite.
    pub(crate) fn provide(self) -> Result<()> {
        let target = self.folder()?;
        let draft = cache::draft(&target)?;
        let unpacked = tempfile::tempdir_in(draft.path())?;
        let version = unpack_newest(self.suite(), unpacked.path())?;
        arrange(unpacked.path(), draft.path()).with_context(|| {
            format!("the packages of Linux {version} are not laid out as expected")
        })?;
        fs::write(draft.path().join("version"), version)?;
        unpacked.close()?;
        cache::publish(draft, &target)
    }

    fn folder(self) -> Result<PathBuf> {
        Ok(folder()?.join(self.name()))
    }
}

/// The folder of all cached kernels: `NAME/{version,vmlinuz,modules/RELEASE}`.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("kernels"))
}

/// Unpacks the newest cloud kernel of `suite` into folder `into`; its version.
fn unpack_newest(suite: &'static str, into: &Path) -> Result<String> {
    let archive = Archive::open(suite)?;
    let newest = |name: &str| -> Result<_> { Ok(archive.versions(name)?.swap_remove(0)) };
    let meta = newest("linux-image-cloud-amd64")?;
    let image = meta
        .depends
        .iter()
        .find(|name| name.starts_with("linux-image-"))
        .context("linux-image-cloud-amd64 depends on no image")?;
    let image = newest(image)?;

    // Up to 6.x one package has it all, from 7.x on it depends on three that do.
    let parts = ["linux-binary-", "linux-modules-", "linux-base-"];
    let is_part = |name: &&String| parts.iter().any(|part| name.starts_with(part));
    let mut packages = vec![image.clone()];
    for name in image.depends.iter().filter(is_part) {
        packages.push(newest(name)?);
    }
    for package in packages {
        let deb = archive.download(&package, into)?;
        archive::unpack(&deb, into)?;
        fs::remove_file(deb)?;
    }
    Ok(image.version)
}

/// Moves kernel and modules from `unpacked` packages to where the lab looks for them.
fn arrange(unpacked: &Path, into: &Path) -> Result<()> {
    let modules = ["usr/lib/modules", "lib/modules"].map(|folder| unpacked.join(folder));
    let modules = modules
        .iter()
        .find(|folder| folder.is_dir())
        .context("no modules")?;
    let release = fs::read_dir(modules)?.next().context("no modules")??;
    let image = Path::new("boot").join(format!("vmlinuz-{}", release.file_name().display()));
    let images = [unpacked.join(image), release.path().join("vmlinuz")];
    let image = images
        .iter()
        .find(|file| file.is_file())
        .context("no vmlinuz")?;
    fs::rename(image, into.join("vmlinuz"))?;
    fs::rename(modules, into.join("modules"))?;
    Ok(())
}
