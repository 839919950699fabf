//! What a package's archive holds.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell what {} holds: {source}; `dpkg-deb -c` says more", deb.display())]
pub struct ArchiveError {
    deb: PathBuf,
    source: io::Error,
}

/// The names in a .deb as a files list of dpkg's has them: a path a line. Takes as long as it takes to
/// unpack it in memory.
///
/// # Errors
///
/// dpkg-deb cannot be run, or the archive is damaged.
pub fn files_list(deb: &Path) -> Result<Vec<u8>, ArchiveError> {
    read(deb).map_err(|source| ArchiveError {
        deb: deb.to_owned(),
        source,
    })
}

fn read(deb: &Path) -> io::Result<Vec<u8>> {
    let mut unpacking = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let archive = unpacking.stdout.take().expect("a pipe was asked for");
    let list = list(archive);
    let status = unpacking.wait()?;
    match status.success() {
        true => list,
        false => Err(io::Error::other(format!("dpkg-deb ended with {status}"))),
    }
}

fn list(archive: impl Read) -> io::Result<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let mut list = Vec::new();
    for entry in archive.entries()? {
        let entry = entry?;
        // Names are `./usr/bin/x`, of directories with a slash at the end.
        let name = entry.path_bytes();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        list.push(b'/');
        list.extend(name.strip_suffix(b"/").unwrap_or(name));
        list.push(b'\n');
    }
    // dpkg-deb waits for whoever reads to have read all.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            let kind = match name.ends_with('/') {
                true => tar::EntryType::Directory,
                false => tar::EntryType::Regular,
            };
            header.set_entry_type(kind);
            if kind.is_dir() {
                header.set_size(0);
            }
            let content: &[u8] = if kind.is_dir() { b"" } else { b"x\n" };
            archive
                .append_data(&mut header, name, content)
                .expect("appended");
        }
        archive.into_inner().expect("finished")
    }

    #[test]
    fn names_are_as_in_a_files_list() {
        let long = format!("./usr/share/{}", "n".repeat(200));
        let names = ["./", "./usr/", "./usr/bin/a b", &long];
        let list = list(&*archive(&names)).expect("sound");
        let expected = format!("/\n/usr\n/usr/bin/a b\n{}\n", &long[1..]);
        assert_eq!(String::from_utf8_lossy(&list), expected);
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let mut bytes = archive(&["./usr/x"]);
        bytes[0] ^= 1;
        assert!(list(&*bytes).is_err());
        let error = files_list(Path::new("/nowhere.deb")).expect_err("no archive");
        assert!(error.to_string().contains("/nowhere.deb"), "{error}");
    }
}
