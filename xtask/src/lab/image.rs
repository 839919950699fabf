//! The guests' disks, root.img and usr.img, made by mmdebstrap after the recipe.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::lab::kernel::Kernel;
use crate::lab::{kernel, upgrade};
use crate::{archive, cache, lab, process};

/// The files of the recipe that shape the image. The others come with each guest's payload.
const RECIPE: [&str; 6] = [
    "packages",
    "customize",
    "fstab",
    "apt.conf",
    "masked-units",
    "udev-trigger.conf",
];

/// What mmdebstrap's hook makes.
const MADE: [&str; 3] = ["root.img", "usr.img", "glibc"];

/// The folder of the image that fits recipe, kernels and packages: root.img, usr.img and glibc,
/// which says that library's version. It exists once the image is complete.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join(format!("guest-{}", key()?)))
}

/// Builds it.
pub(crate) fn provide() -> Result<()> {
    let target = folder()?;
    let draft = cache::draft(&target)?;
    if rustix::process::geteuid().is_root() {
        build(draft.path())?;
        return cache::publish(draft, &target);
    }
    // The hook runs as root of a user namespace then: to the user's own folders it is a stranger.
    let shared = TempDir::new()?;
    fs::set_permissions(&shared, Permissions::from_mode(0o777))?;
    build(shared.path())?;
    for name in MADE {
        let files = [shared.path().join(name), draft.path().join(name)];
        process::read(Command::new("cp").arg("--sparse=always").args(files))?;
    }
    cache::publish(draft, &target)
}

/// Names the image by all it is made from.
fn key() -> Result<String> {
    let mut hash = Sha256::new();
    for name in RECIPE {
        let file = lab::recipe().join(name);
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(Sha256::digest(content));
    }
    for kernel in Kernel::ALL {
        hash.update(Sha256::digest(kernel.version()?.unwrap_or_default()));
    }
    for upgrade in [upgrade::repository()?.join("Packages"), upgrade::pins()?] {
        hash.update(Sha256::digest(fs::read(upgrade).unwrap_or_default()));
    }
    Ok(format!("{:x}", hash.finalize())[..16].to_owned())
}

fn build(into: &Path) -> Result<()> {
    // The hook may be a stranger to the clone and the cache as well.
    let given = TempDir::new()?;
    fs::set_permissions(&given, Permissions::from_mode(0o755))?;
    let copy = |from: &Path, name: &str| {
        process::read(
            Command::new("cp")
                .arg("-r")
                .args([from, &given.path().join(name)]),
        )
    };
    copy(&lab::recipe(), "recipe")?;
    copy(&kernel::folder()?, "kernels")?;
    copy(&upgrade::repository()?, "archive")?;
    let recipe = given.path().join("recipe");
    copy(&upgrade::pins()?, "pins")?;
    let pins = given.path().join("pins");

    let setup = format!(
        "install -D -m 644 '{}' \"$1/etc/apt/preferences.d/lab\"",
        pins.display()
    );
    let options = [
        "--quiet".into(),
        "--variant=minbase".into(),
        "--skip=cleanup".into(),
        format!(
            "--include={}",
            packages(&fs::read_to_string(recipe.join("packages"))?)
        ),
        "--aptopt=APT::Install-Recommends \"false\"".into(),
        format!("--setup-hook={setup}"),
        format!("--customize-hook={}", recipe.join("customize").display()),
    ];
    process::read(
        Command::new("mmdebstrap")
            .env("IN", given.path())
            .env("OUT", into)
            .args(options)
            .args([lab::RELEASE, "/dev/null"])
            .args(archive::sources(lab::RELEASE)?),
    )
    .context("cannot build the guest's image")?;
    Ok(())
}

/// The package list in mmdebstrap's form.
fn packages(list: &str) -> String {
    let names = list
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    names
        .filter(|name| !name.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn reads_a_package_list() {
        let cases = [
            ("", ""),
            ("# comment\na\n\n  b  # why\n", "a,b"),
            ("a", "a"),
        ];
        for (list, expected) in cases {
            assert_eq!(packages(list), expected, "{list:?}");
        }
    }
}
