//! What goes into a guest and comes out of it: a tar on a disk each.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use tar::{Archive, Builder, EntryType, Header};

use super::{Guest, Init};
use crate::{install, lab};

/// Room for what a command leaves in /run/out; sparse.
const OUT_BYTES: u64 = 1 << 30;

/// Writes what `guest` is given to `file`; its init lays it over the root folder.
pub(super) fn write(file: &Path, guest: &Guest, command: &[OsString]) -> Result<()> {
    let mut tar = Builder::new(BufWriter::new(File::create(file)?));
    tar.follow_symlinks(false);
    // The initramfs's tar knows no sparse files.
    tar.sparse(false);
    for installed in &guest.installed {
        let content = fs::read(&installed.source)
            .with_context(|| format!("cannot read {}", installed.source.display()))?;
        append(&mut tar, installed.destination, installed.mode, &content)?;
    }
    for (link, unit) in install::enabling_links(&guest.installed)? {
        symlink(&mut tar, &link, &unit)?;
    }
    if let Some(layout) = guest.layout.script()? {
        append(&mut tar, "run/rousr-lab/layout", 0o644, &layout)?;
    }
    let runner = fs::read(lab::recipe().join("run"))?;
    append(&mut tar, "run/rousr-lab/run", 0o755, &runner)?;
    append(&mut tar, "run/rousr-lab/command", 0o644, &script(command))?;
    if let Some(script) = &guest.prepare {
        append(&mut tar, "run/rousr-lab/prepare", 0o644, script.as_bytes())?;
    }
    if guest.init == Init::Systemd {
        let unit = fs::read(lab::recipe().join("command.service"))?;
        append(
            &mut tar,
            "etc/systemd/system/rousr-lab.service",
            0o644,
            &unit,
        )?;
        let wanted = "etc/systemd/system/multi-user.target.wants/rousr-lab.service";
        symlink(&mut tar, wanted, "../rousr-lab.service")?;
    }
    if let Some(folder) = &guest.share {
        tar.append_dir_all("run/share", folder)
            .with_context(|| format!("cannot read the shared folder {}", folder.display()))?;
    }
    tar.into_inner()?
        .into_inner()
        .context("cannot write the tar")?;
    Ok(())
}

/// Creates the disk for what comes out.
pub(super) fn create_out(file: &Path) -> Result<()> {
    File::create(file)?.set_len(OUT_BYTES)?;
    Ok(())
}

/// Unpacks what came out into `folder`.
pub(super) fn fetch_out(file: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut tar = Archive::new(File::open(file)?);
    tar.set_preserve_permissions(false);
    tar.unpack(folder)?;
    Ok(())
}

fn append<W: std::io::Write>(
    tar: &mut Builder<W>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len().try_into()?);
    tar.append_data(&mut header, path, content)?;
    Ok(())
}

fn symlink<W: std::io::Write>(tar: &mut Builder<W>, path: &str, target: &str) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    tar.append_link(&mut header, path, target)?;
    Ok(())
}

/// A shell script that becomes `command`, argument by argument.
fn script(command: &[OsString]) -> Vec<u8> {
    let mut script = b"exec".to_vec();
    for argument in command {
        script.push(b' ');
        script.extend(quoted(argument).into_vec());
    }
    script.push(b'\n');
    script
}

fn quoted(argument: &OsStr) -> OsString {
    let mut quoted = vec![b'\''];
    for &byte in argument.as_bytes() {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_each_argument() {
        let cases: [(&[&[u8]], &[u8]); 4] = [
            (&[b"true"], b"exec 'true'\n"),
            (&[b"echo", b"a b", b""], b"exec 'echo' 'a b' ''\n"),
            (&[b"echo", b"it's $x"], b"exec 'echo' 'it'\\''s $x'\n"),
            (&[b"echo", b"\xff\n"], b"exec 'echo' '\xff\n'\n"),
        ];
        for (arguments, expected) in cases {
            let arguments: Vec<_> = arguments
                .iter()
                .map(|bytes| OsString::from_vec(bytes.to_vec()))
                .collect();
            assert_eq!(script(&arguments), expected, "{arguments:?}");
        }
    }
}
