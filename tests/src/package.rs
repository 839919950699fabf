//! A package that a scenario makes as it needs it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::succeed;

/// Where its files are.
pub const FOLDER: &str = "/usr/share/rousr-kinds";

/// A file of the package.
#[derive(Debug)]
pub struct Packed {
    /// Its name in [`FOLDER`].
    pub name: String,
    /// What it contains.
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// Makes the package rousr-kinds in this version and returns the .deb.
///
/// # Panics
///
/// Panics where a file cannot be written or dpkg-deb fails.
#[track_caller]
pub fn build(version: &str, files: &[Packed]) -> PathBuf {
    build_with(version, files, "")
}

/// As [`build`], with a script to run after it was unpacked, unless that is empty.
///
/// # Panics
///
/// As `build`.
#[track_caller]
pub fn build_with(version: &str, files: &[Packed], postinst: &str) -> PathBuf {
    let tree = tempfile::tempdir().expect("a folder");
    let folder = tree.path().join(FOLDER.trim_start_matches('/'));
    fs::create_dir_all(&folder).expect("a folder");
    for file in files {
        let path = folder.join(&file.name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        write(&path, &file.content, file.mode);
    }
    let control = format!(
        "Package: rousr-kinds\nVersion: {version}\nArchitecture: all\n\
         Maintainer: rousr developers <rousr@localhost>\nDescription: files to hold\n"
    );
    fs::create_dir(tree.path().join("DEBIAN")).expect("a folder");
    write(
        &tree.path().join("DEBIAN/control"),
        control.as_bytes(),
        0o644,
    );
    if !postinst.is_empty() {
        let script = format!("#!/bin/sh\n{postinst}\n");
        write(
            &tree.path().join("DEBIAN/postinst"),
            script.as_bytes(),
            0o755,
        );
    }
    let package = PathBuf::from(format!("/run/rousr-kinds_{version}_all.deb"));
    succeed(&format!(
        "chmod -R go-w,a+rX {tree} && dpkg-deb --root-owner-group -Znone -b {tree} {}",
        package.display(),
        tree = tree.path().display()
    ));
    package
}

/// Installs it.
///
/// # Panics
///
/// Panics where apt fails.
#[track_caller]
pub fn install(package: &Path) -> String {
    succeed(&format!("apt-get -y -q install {}", package.display()))
}

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permitted");
}
