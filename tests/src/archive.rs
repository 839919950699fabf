//! Where apt's frontends find a scenario's packages.

use std::{fs, path::Path};

use crate::{shell, succeed};

const FOLDER: &str = "/run/rousr-archive";
const SOURCES: &str = "/etc/apt/sources.list";
const ASIDE: &str = "/run/rousr-sources.list";

/// An archive of a few packages: the only one that apt knows, until it is dropped.
#[derive(Debug)]
pub struct Archive(());

impl Archive {
    /// Makes it of these .deb files.
    ///
    /// # Panics
    ///
    /// Panics where a file cannot be written, or apt cannot read the archive.
    #[track_caller]
    pub fn of(packages: &[&Path]) -> Self {
        fs::create_dir_all(FOLDER).expect("a folder");
        let index: Vec<_> = packages.iter().map(|package| added(package)).collect();
        fs::write(format!("{FOLDER}/Packages"), index.join("\n")).expect("written");
        succeed(&format!("cp {SOURCES} {ASIDE}"));
        let archive = Self(());
        let source = format!("deb [trusted=yes] file:{FOLDER} ./\n");
        fs::write(SOURCES, source).expect("written");
        succeed("apt-get -q update");
        archive
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        shell(&format!(
            "mv {ASIDE} {SOURCES} && rm -r {FOLDER} && apt-get -q update"
        ));
    }
}

/// Copies a package there, and returns its paragraph of the index.
#[track_caller]
fn added(package: &Path) -> String {
    let name = package.file_name().expect("a file").to_string_lossy();
    let size = fs::copy(package, format!("{FOLDER}/{name}")).expect("copied");
    let told = succeed(&format!("sha256sum <{FOLDER}/{name}"));
    let digest = told.split(' ').next().unwrap_or_default();
    let control = succeed(&format!("dpkg-deb --field {FOLDER}/{name}"));
    format!("{control}Filename: ./{name}\nSize: {size}\nSHA256: {digest}\n")
}
