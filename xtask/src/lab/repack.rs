//! A package file in another version.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::control;
use crate::process;

/// Gives the package file `deb` another version, and where `newer` knows one also the exact versions that it relates
/// to. The files in it stay packed as Debian packed them: unpacked, they are the same in new inodes.
pub(super) fn repack(
    deb: &Path,
    version: &str,
    newer: impl Fn(&str, &str) -> Option<String>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let inside = |name: &str| folder.path().join(name);
    process::read(Command::new("ar").arg("x").arg(deb).current_dir(&folder))?;
    let data =
        data_of(folder.path())?.with_context(|| format!("{} has no files", deb.display()))?;
    let tree = inside("DEBIAN");
    process::read(Command::new("dpkg-deb").arg("-e").arg(deb).arg(&tree))?;
    let text = fs::read_to_string(tree.join("control"))?;
    fs::write(
        tree.join("control"),
        control::renewed(&text, version, newer),
    )?;
    process::read(
        Command::new("tar")
            .args([
                "--owner=0",
                "--group=0",
                "--sort=name",
                "--format=gnu",
                "-cf",
            ])
            .arg(inside("control.tar"))
            .arg("-C")
            .args([tree.as_path(), Path::new(".")]),
    )?;
    process::read(
        Command::new("ar")
            .arg("qcS")
            .arg(inside("packed.deb"))
            .args(["debian-binary", "control.tar"])
            .arg(data)
            .current_dir(&folder),
    )?;
    fs::copy(inside("packed.deb"), deb)?;
    Ok(())
}

/// The member that has the files, however it is compressed.
fn data_of(folder: &Path) -> Result<Option<OsString>> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if Path::new(&name)
            .file_stem()
            .is_some_and(|stem| stem == "data.tar")
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).expect("a folder");
        fs::write(tree.join("file"), "content").expect("written");
        let control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: m <m@localhost>\n\
                       Depends: b (= 1), c (= 1)\nDescription: d\n";
        fs::write(tree.join("DEBIAN/control"), control).expect("written");
        let deb = folder.path().join("a.deb");
        let run = |program: &mut Command| process::read_text(program).expect("succeeds");
        run(Command::new("dpkg-deb")
            .args(["--root-owner-group", "-b"])
            .args([&tree, &deb]));

        repack(&deb, "1+r", |name, _| {
            (name == "b").then(|| "1+r".to_owned())
        })
        .expect("packs");
        let field = |field| run(Command::new("dpkg-deb").arg("-f").arg(&deb).arg(field));
        assert_eq!(field("Version").trim(), "1+r");
        assert_eq!(field("Depends").trim(), "b (= 1+r), c (= 1)");
        let out = folder.path().join("out");
        run(Command::new("dpkg-deb").arg("-x").args([&deb, &out]));
        assert_eq!(fs::read(out.join("file")).expect("is there"), b"content");
    }
}
