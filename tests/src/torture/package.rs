//! A package of thousands of files, and its upgrades as apt and dpkg do them.
//!
//! dpkg itself would take ten times as long in an emulated guest. What rousr sees is the same: apt's
//! hooks with their stream, the files list in dpkg's admin directory, the frontend's lock, and each
//! file replaced by a rename.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, fcntl_lock, openat};

use super::{PACKAGE, PACKAGE_FOLDER, file_path, image, open};

/// A transaction of apt's.
pub(super) struct Transaction {
    /// Released when it is closed.
    _lock: File,
}

impl Transaction {
    /// Takes the frontend's lock and runs Pre-Invoke: /usr is writable.
    pub(super) fn begin() -> Result<Self> {
        let path = "/var/lib/dpkg/lock-frontend";
        let lock = File::create(path).with_context(|| format!("cannot open {path}"))?;
        fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("cannot lock {path}"))?;
        hook("pre-invoke", b"")?;
        Ok(Self { _lock: lock })
    }

    /// Runs Pre-Install-Pkgs for the package's upgrade to this generation, unpacks as dpkg does, and
    /// runs Post-Invoke: /usr is read-only. Its filesystem stays writable as long as the blocker, where
    /// one is wanted, lives.
    pub(super) fn upgrade(
        self,
        generation: u32,
        files: usize,
        block: bool,
    ) -> Result<Option<OwnedFd>> {
        hook("pre-install-pkgs", &stream(generation))?;
        unpack(generation, files)?;
        let blocker = block.then(orphan).transpose()?;
        hook("post-invoke", b"")?;
        Ok(blocker)
    }

    /// Runs Post-Invoke.
    pub(super) fn end(self) -> Result<()> {
        hook("post-invoke", b"")
    }
}

/// Installs generation 0 and enters the package into dpkg's database; /usr is writable.
pub(super) fn install(files: usize) -> Result<()> {
    fs::create_dir_all(PACKAGE_FOLDER).with_context(|| format!("cannot make {PACKAGE_FOLDER}"))?;
    let mut list = format!("/.\n/usr\n/usr/lib\n{PACKAGE_FOLDER}\n");
    for index in 0..files {
        list += &format!("{}\n", file_path(index).display());
    }
    let path = format!("/var/lib/dpkg/info/{PACKAGE}.list");
    fs::write(&path, list).with_context(|| format!("cannot write {path}"))?;
    unpack(0, files)
}

/// An open file without a name, which no hold can be made for. It is no writer: that would keep the
/// mount writable, too.
fn orphan() -> Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let writer = openat(CWD, PACKAGE_FOLDER, flags, Mode::RUSR)
        .with_context(|| format!("cannot make a temporary file in {PACKAGE_FOLDER}"))?;
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    open(&path, OFlags::RDONLY).with_context(|| format!("cannot open {path}"))
}

/// Each file is replaced as dpkg does it (dpkg's archives.c: `tarobject`), without its fsync.
fn unpack(generation: u32, files: usize) -> Result<()> {
    let content = image::watched(generation);
    for index in 0..files {
        let path = file_path(index);
        replace(&path, &content).with_context(|| format!("cannot unpack {}", path.display()))?;
    }
    Ok(())
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("dpkg-new");
    let old = path.with_extension("dpkg-tmp");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    drop(file);
    match fs::hard_link(path, &old) {
        Ok(()) => {
            fs::rename(&new, path)?;
            fs::remove_file(&old)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fs::rename(&new, path),
        Err(error) => Err(error),
    }
}

/// The inode numbers of the installed files.
pub(super) fn inodes(files: usize) -> Result<BTreeSet<u64>> {
    (0..files)
        .map(|index| {
            let path = file_path(index);
            let metadata = fs::metadata(&path).with_context(|| path.display().to_string())?;
            Ok(metadata.ino())
        })
        .collect()
}

/// What apt says of the upgrade, in version 3 of its protocol.
fn stream(generation: u32) -> Vec<u8> {
    let old = generation - 1;
    let versions = format!("{PACKAGE} 1.{old} all none < 1.{generation} all none");
    let package = format!("/var/cache/apt/archives/{PACKAGE}_1.{generation}_all.deb");
    format!(
        "VERSION 3\nAPT::Architecture=amd64\n\n{versions} {package}\n{versions} **CONFIGURE**\n"
    )
    .into_bytes()
}

fn hook(name: &str, stream: &[u8]) -> Result<()> {
    let mut child = Command::new("/usr/sbin/rousr")
        .args(["apt", name])
        .env("DPKG_FRONTEND_LOCKED", "true")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run rousr")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(stream).context("cannot feed a hook")?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`rousr apt {name}` ended with {}: {said}",
        output.status
    );
    if said.contains("warning") {
        eprintln!("rousr apt {name}: {}", said.trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_makes_a_new_inode() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("file");
        replace(&path, b"one").expect("makes it");
        let held = File::open(&path).expect("opens");
        replace(&path, b"two").expect("replaces it");
        assert_eq!(fs::read(&path).expect("reads"), b"two");
        assert_eq!(held.metadata().expect("stat").nlink(), 0);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
