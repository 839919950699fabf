//! Hooks of apt and dpkg that remount by themselves, as guides to a read-only /usr have them: they would
//! seal under a transaction that is not over, and fail where a file in use blocks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Syntax {
    /// apt.conf(5).
    Apt,
    /// dpkg.cfg(5).
    Dpkg,
}

/// Where hooks are configured: a file, and a folder of pieces.
const PLACES: [(Syntax, &str, &str); 2] = [
    (Syntax::Apt, "/etc/apt/apt.conf", "/etc/apt/apt.conf.d"),
    (Syntax::Dpkg, "/etc/dpkg/dpkg.cfg", "/etc/dpkg/dpkg.cfg.d"),
];

/// rousr's own pieces.
const OWN: [&str; 3] = ["01rousr", "zz-rousr", "rousr"];

/// A line that remounts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

/// All on this machine.
///
/// # Errors
///
/// Fails where the configuration cannot be read.
pub(super) fn conflicts() -> io::Result<Vec<Conflict>> {
    let mut conflicts = Vec::new();
    for (syntax, file, folder) in PLACES {
        let mut files = pieces(Path::new(folder), syntax)?;
        files.sort();
        files.insert(0, file.into());
        for file in files {
            let text = match fs::read(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text?,
            };
            let lines = remounts(&text, syntax).into_iter();
            conflicts.extend(lines.map(|line| Conflict {
                file: file.clone(),
                line,
            }));
        }
    }
    Ok(conflicts)
}

/// Files that apt and dpkg read and that are not rousr's.
fn pieces(folder: &Path, syntax: Syntax) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut pieces = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_own = OWN.iter().any(|&own| name == own);
        if !is_own && is_read(&name.to_string_lossy(), syntax) && entry.path().is_file() {
            pieces.push(entry.path());
        }
    }
    Ok(pieces)
}

/// By the name: apt wants `.conf` or no ending at all, dpkg no dots in any case.
fn is_read(name: &str, syntax: Syntax) -> bool {
    let stem = match syntax {
        Syntax::Apt => name.strip_suffix(".conf").unwrap_or(name),
        Syntax::Dpkg => name,
    };
    !stem.contains(['.', '~']) && !stem.is_empty()
}

/// The numbers of the lines, from 1, that remount something in a command: not in a comment.
fn remounts(text: &[u8], syntax: Syntax) -> Vec<usize> {
    let text = String::from_utf8_lossy(text);
    let mut is_comment = false;
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let command = match syntax {
            Syntax::Apt => without_comments(line, &mut is_comment),
            Syntax::Dpkg if line.trim_start().starts_with('#') => String::new(),
            Syntax::Dpkg => line.to_owned(),
        };
        if command.contains("remount") {
            found.push(number);
        }
    }
    found
}

/// What is left of a line, and whether a `/*` is open at its end.
fn without_comments(line: &str, is_comment: &mut bool) -> String {
    let mut left = String::new();
    let mut rest = line;
    let mut is_quoted = false;
    while let Some(character) = rest.chars().next() {
        if *is_comment {
            let Some(end) = rest.find("*/") else {
                return left;
            };
            *is_comment = false;
            rest = &rest[end + 2..];
            continue;
        }
        let begins = |mark: &str| !is_quoted && rest.starts_with(mark);
        if begins("//") || begins("#") {
            return left;
        }
        if begins("/*") {
            *is_comment = true;
            rest = &rest[2..];
            continue;
        }
        is_quoted ^= character == '"';
        left.push(character);
        rest = &rest[character.len_utf8()..];
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_remounts_is_told_by_its_line() {
        let apt = b"// remount\n\
            # remount\n\
            DPkg::Pre-Invoke { \"mount -o remount,rw /usr\"; };\n\
            /* remount\n\
            remount */ DPkg::Post-Invoke {\n\
            \"mount -o remount,ro /usr # remount\"; }; // remount\n\
            Acquire::Retries \"3\"; /* x */ # remount\n\
            a \"http://x\" remount\n";
        assert_eq!(remounts(apt, Syntax::Apt), [3, 6, 8]);
        let dpkg = b"# remount\n\
            pre-invoke=mount -o remount,rw /usr\n\
            no-debsig\n\
            post-invoke=curl http://x; mount -o remount,ro /usr\n";
        assert_eq!(remounts(dpkg, Syntax::Dpkg), [2, 4]);
        assert!(remounts(b"", Syntax::Apt).is_empty());
        assert!(remounts(b"\xff\n\"", Syntax::Apt).is_empty());
    }

    #[test]
    fn only_what_apt_and_dpkg_read_counts() {
        for (name, apt, dpkg) in [
            ("99remount", true, true),
            ("50local.conf", true, false),
            ("99remount.dpkg-old", false, false),
            ("99remount~", false, false),
            (".swp", false, false),
        ] {
            assert_eq!(is_read(name, Syntax::Apt), apt, "{name}");
            assert_eq!(is_read(name, Syntax::Dpkg), dpkg, "{name}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["01rousr", "99remount", "old.bak"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let found = pieces(folder.path(), Syntax::Apt).expect("listed");
        assert_eq!(found, [folder.path().join("99remount")]);
        let none = folder.path().join("none");
        assert!(pieces(&none, Syntax::Dpkg).expect("no folder").is_empty());
    }
}
