//! Packages as dpkg's own programs tell of them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::hook::{MultiArch, Version};

/// What they are asked to print, a package a line.
const FORMAT: &str = "${Package} ${Version} ${Architecture} ${Multi-Arch}\n";

/// A package in one version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// What tells it from others of that name.
    pub version: Version,
}

impl Package {
    /// Parses a line of the format: name, version, architecture and multi-arch, which may be missing.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        Some(Self {
            name: fields.next()?.to_owned(),
            version: Version {
                version: fields.next()?.to_owned(),
                architecture: Some(fields.next()?.to_owned()),
                multi_arch: Some(match fields.next() {
                    Some("same") => MultiArch::Same,
                    Some("foreign") => MultiArch::Foreign,
                    Some("allowed") => MultiArch::Allowed,
                    _ => MultiArch::None,
                }),
            },
        })
    }
}

/// The package in an archive; `None` where it cannot be told.
pub fn packed(archive: &Path) -> Option<Package> {
    let told = said(
        Command::new("dpkg-deb")
            .arg(format!("--showformat={FORMAT}"))
            .arg("--show")
            .arg(archive),
    );
    Package::parse(told.lines().next()?)
}

/// What is installed under these names, all instances of each.
pub fn installed<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Package> {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Vec::new();
    }
    let told = said(
        Command::new("dpkg-query")
            .arg(format!("--showformat=${{db:Status-Status}} {FORMAT}"))
            .arg("--show")
            .args(names),
    );
    parse_installed(&told)
}

/// The packages that have files, of those that dpkg tells of: a line each, which begins with its state.
pub fn parse_installed(told: &str) -> Vec<Package> {
    let lines = told.lines().filter_map(|line| line.split_once(' '));
    // A package of which nothing but its configuration is left has no file to lose.
    let lines = lines.filter(|(state, _)| !matches!(*state, "not-installed" | "config-files"));
    lines.filter_map(|(_, line)| Package::parse(line)).collect()
}

/// What a program prints; of what it could not tell, nothing.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
