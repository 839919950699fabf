//! What a dpkg without a frontend is about to do, in the words of apt's hook stream.
//!
//! dpkg tells its hooks the name of its action and nothing else (`run_invoke_hooks` in its
//! src/main/main.c): the packages are on its command line.

use std::{
    collections::HashMap,
    env, fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::command_line::CommandLine;

/// dpkg's name for its action, in the environment of its hooks.
const ACTION: &str = "DPKG_HOOK_ACTION";

/// Those that change files of packages.
const CHANGING: [&str; 6] = [
    "install",
    "unpack",
    "configure",
    "triggers-only",
    "remove",
    "purge",
];

/// Where dpkg installs to, if not here.
const ROOT: &str = "DPKG_ROOT";

/// A package's name, version, architecture and multi-arch, as the stream has them.
const FORMAT: &str = "${Package} ${Version} ${Architecture} ${Multi-Arch}\n";

/// A dpkg that runs one of our hooks.
#[derive(Clone, Debug)]
pub struct Dpkg {
    action: String,
    line: CommandLine,
    /// Where its relative paths begin.
    directory: PathBuf,
}

impl Dpkg {
    /// The process with this number.
    ///
    /// # Errors
    ///
    /// Fails where it has ended.
    pub fn read(pid: u32) -> io::Result<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline"))?;
        Ok(Self {
            action: env::var(ACTION).unwrap_or_default(),
            line: CommandLine::parse(&line),
            directory: fs::read_link(format!("/proc/{pid}/cwd"))?,
        })
    }

    /// Whether it may change files of this system: not where it only tells, works on another one, or does
    /// something to its database alone, such as `--add-architecture`.
    pub fn changes_files(&self) -> bool {
        let root = env::var_os(ROOT).unwrap_or_default();
        let is_elsewhere = self.line.is_elsewhere || !root.is_empty() && root != "/";
        !is_elsewhere && !self.line.is_simulated && CHANGING.contains(&self.action.as_str())
    }

    /// What it will unpack or remove, as far as the command line tells: nothing for `--pending`. What is
    /// not told is held where it is in use.
    pub fn stream(&self) -> Vec<u8> {
        let actions = match self.action.as_str() {
            "install" | "unpack" => self.unpacked(),
            "remove" | "purge" => self.removed(),
            _ => Vec::new(),
        };
        [b"VERSION 3\n\n", &actions[..]].concat()
    }

    fn unpacked(&self) -> Vec<u8> {
        let archives = self.archives();
        let new: Vec<Option<String>> = archives.iter().map(|archive| described(archive)).collect();
        let names = new.iter().flatten().map(|new| name(new).to_owned());
        let old = installed(names);
        let mut lines = Vec::new();
        for (archive, new) in archives.iter().zip(new) {
            // Of an archive that is none dpkg tells itself.
            let Some(new) = new else { continue };
            let (name, new) = new.split_once(' ').unwrap_or((&new, "- - none"));
            for old in replaced(old.get(name), new) {
                lines.extend(format!("{name} {old} < {new} ").as_bytes());
                lines.extend(archive.as_os_str().as_bytes());
                lines.push(b'\n');
            }
        }
        lines
    }

    fn removed(&self) -> Vec<u8> {
        let names = self.line.operands.iter();
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let mut lines = Vec::new();
        for (name, old) in installed(names) {
            for old in old {
                lines.extend(format!("{name} {old} > - - none **REMOVE**\n").as_bytes());
            }
        }
        lines
    }

    /// In the order of the command line; those of a directory in the order of their names.
    fn archives(&self) -> Vec<PathBuf> {
        let operands = self.line.operands.iter();
        let mut archives = Vec::new();
        for operand in operands.map(|operand| self.directory.join(operand)) {
            match self.line.is_recursive {
                true => archives.extend(below(&operand)),
                false => archives.push(operand),
            }
        }
        archives
    }
}

/// The instances that the new one replaces: of one that lies beside those of other architectures its own,
/// and none where it is new.
fn replaced<'o>(installed: Option<&'o Vec<String>>, new: &str) -> Vec<&'o str> {
    const NONE: &str = "- - none";
    let fields: Vec<&str> = new.split(' ').collect();
    let is_own = |old: &&str| match fields[..] {
        [_, architecture, "same"] => old.split(' ').nth(1) == Some(architecture),
        _ => true,
    };
    let installed = installed.into_iter().flatten().map(String::as_str);
    let replaced: Vec<&str> = installed.filter(is_own).collect();
    match replaced.is_empty() {
        true => vec![NONE],
        false => replaced,
    }
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push(path),
                _ if path.extension().is_some_and(|end| end == "deb") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The package in an archive; `None` where it cannot be told.
fn described(archive: &Path) -> Option<String> {
    let told = said(
        Command::new("dpkg-deb")
            .arg(format!("--showformat={FORMAT}"))
            .arg("--show")
            .arg(archive),
    );
    Some(line(told.lines().next()?))
}

/// What is installed under these names, each instance with its version, architecture and multi-arch.
fn installed(names: impl Iterator<Item = String>) -> HashMap<String, Vec<String>> {
    let names: Vec<String> = names.collect();
    let mut packages: HashMap<String, Vec<String>> = HashMap::new();
    if names.is_empty() {
        return packages;
    }
    let told = said(
        Command::new("dpkg-query")
            .arg(format!("--showformat=${{db:Status-Status}} {FORMAT}"))
            .arg("--show")
            .args(names),
    );
    for package in told.lines() {
        // A package of which nothing but its configuration is left has no file to lose.
        let Some((status, package)) = package.split_once(' ') else {
            continue;
        };
        if matches!(status, "not-installed" | "config-files") {
            continue;
        }
        let package = line(package);
        if let Some((name, rest)) = package.split_once(' ') {
            packages
                .entry(name.to_owned())
                .or_default()
                .push(rest.to_owned());
        }
    }
    packages
}

/// A package that says nothing of multi-arch, or `no`, has `none` there.
fn line(told: &str) -> String {
    let told = told.trim_end();
    let told = told.strip_suffix(" no").unwrap_or(told);
    match told.split(' ').count() {
        3 => format!("{told} none"),
        _ => told.to_owned(),
    }
}

fn name(package: &str) -> &str {
    package.split(' ').next().unwrap_or(package)
}

/// What a program prints; of what it could not tell, nothing.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpkg::hook::{Kind, Stream};

    fn dpkg(action: &str, words: &str, directory: &Path) -> Dpkg {
        Dpkg {
            action: action.to_owned(),
            line: CommandLine::parse(words.replace(' ', "\0").as_bytes()),
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn a_removal_is_told_with_what_is_installed() {
        let stream = dpkg("remove", "dpkg -r dpkg no-such-package", Path::new("/")).stream();
        let stream = Stream::parse(&stream).expect("a stream");
        let [action] = &stream.actions[..] else {
            panic!("{stream:?}");
        };
        assert_eq!(
            (action.package.as_str(), &action.kind),
            ("dpkg", &Kind::Remove)
        );
        let old = action.old.as_ref().expect("installed");
        assert!(old.instance().is_some(), "{old:?}");
    }

    #[test]
    fn archives_are_found_and_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().join("tree/DEBIAN");
        fs::create_dir_all(&tree).expect("a folder");
        let control = "Package: dpkg\nVersion: 99\nArchitecture: amd64\nMulti-Arch: foreign\n\
             Maintainer: x <x@localhost>\nDescription: x\n";
        fs::write(tree.join("control"), control).expect("written");
        fs::create_dir(folder.path().join("debs")).expect("a folder");
        let built = Command::new("dpkg-deb")
            .args([
                "--root-owner-group",
                "-Znone",
                "-b",
                "tree",
                "debs/odd name.deb",
            ])
            .current_dir(folder.path())
            .output()
            .expect("dpkg-deb");
        assert!(built.status.success(), "{built:?}");
        let archive = folder.path().join("debs/odd name.deb");
        for (line, directory) in [
            ("dpkg -i debs/odd\u{1}name.deb nowhere.deb", folder.path()),
            ("dpkg -iR debs", folder.path()),
            ("dpkg -iR .", &folder.path().join("debs")),
        ] {
            let mut dpkg = dpkg("install", line, directory);
            for operand in &mut dpkg.line.operands {
                *operand = operand.to_string_lossy().replace('\u{1}', " ").into();
            }
            let stream = dpkg.stream();
            let stream = Stream::parse(&stream).expect("a stream");
            let [action] = &stream.actions[..] else {
                panic!("{line}: {stream:?}");
            };
            assert_eq!(action.package, "dpkg");
            assert_eq!(
                action.new.as_ref().map(|new| new.version.as_str()),
                Some("99")
            );
            let Kind::Unpack(path) = &action.kind else {
                panic!("{action:?}");
            };
            assert_eq!(path.canonicalize().expect("there"), archive);
        }
    }

    #[test]
    fn an_archive_replaces_its_own_instance() {
        let installed = vec!["1 amd64 same".to_owned(), "1 i386 same".to_owned()];
        for (installed, new, expected) in [
            (Some(&installed), "2 i386 same", vec!["1 i386 same"]),
            (Some(&installed), "2 arm64 same", vec!["- - none"]),
            (
                Some(&vec!["1 all none".to_owned()]),
                "2 amd64 none",
                vec!["1 all none"],
            ),
            (None, "2 amd64 none", vec!["- - none"]),
        ] {
            assert_eq!(replaced(installed, new), expected, "{new}");
        }
    }

    #[test]
    fn only_what_changes_files_counts() {
        for (action, line, expected) in [
            ("install", "dpkg -i a.deb", true),
            ("configure", "dpkg --configure -a", true),
            ("install", "dpkg --simulate -i a.deb", false),
            ("install", "dpkg --root=/mnt -i a.deb", false),
            ("add-architecture", "dpkg --add-architecture i386", false),
        ] {
            assert_eq!(
                dpkg(action, line, Path::new("/")).changes_files(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn other_actions_name_no_package() {
        let stream = dpkg("configure", "dpkg --configure -a", Path::new("/")).stream();
        assert!(Stream::parse(&stream).expect("a stream").actions.is_empty());
    }
}
