//! What a dpkg without a frontend is about to do, in the words of apt's hook stream.
//!
//! dpkg tells its hooks the name of its action: the packages are on its command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    command_line::CommandLine,
    environment::Invocation,
    hook::{Action, Direction, Kind, MultiArch, Protocol, Stream, Version},
    package::{self, Package},
};

/// The actions that change files of packages.
const CHANGING: [&str; 6] = [
    "install",
    "unpack",
    "configure",
    "triggers-only",
    "remove",
    "purge",
];

/// A dpkg that runs one of our hooks.
#[derive(Clone, Debug)]
pub struct Dpkg {
    invocation: Invocation,
    line: CommandLine,
    /// Where its relative paths begin.
    directory: PathBuf,
}

impl Dpkg {
    /// The process with this number, which has called a hook so.
    ///
    /// # Errors
    ///
    /// Fails where it has ended.
    pub fn read(pid: u32, invocation: Invocation) -> io::Result<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline"))?;
        Ok(Self {
            invocation,
            line: CommandLine::parse(&line),
            directory: fs::read_link(format!("/proc/{pid}/cwd"))?,
        })
    }

    /// Whether it may change files of this system: not where it only tells, works on another one, or does
    /// something to its database alone, such as `--add-architecture`.
    pub fn changes_files(&self) -> bool {
        let is_elsewhere = self.line.is_elsewhere || self.invocation.is_elsewhere;
        !is_elsewhere && !self.line.is_simulated && CHANGING.contains(&self.action())
    }

    /// What it will unpack or remove, as far as the command line tells: nothing for `--pending`. What is
    /// not told is held where it is in use.
    pub fn stream(&self) -> Stream {
        Stream {
            protocol: Protocol::V3,
            settings: Vec::new(),
            actions: match self.action() {
                "install" | "unpack" => self.unpacked(),
                "remove" | "purge" => self.removed(),
                _ => Vec::new(),
            },
        }
    }

    fn action(&self) -> &str {
        &self.invocation.action
    }

    fn unpacked(&self) -> Vec<Action> {
        // Of an archive that is none dpkg tells itself.
        let packed = self.archives().into_iter().filter_map(|archive| {
            let package = package::packed(&archive)?;
            Some((archive, package))
        });
        let packed: Vec<(PathBuf, Package)> = packed.collect();
        let installed = package::installed(packed.iter().map(|(_, new)| new.name.as_str()));
        let mut actions = Vec::new();
        for (archive, new) in packed {
            let unpack = |old: Option<Version>| Action {
                package: new.name.clone(),
                old,
                new: Some(new.version.clone()),
                direction: Direction::Up,
                kind: Kind::Unpack(archive.clone()),
            };
            actions.extend(replaced(&installed, &new).into_iter().map(unpack));
        }
        actions
    }

    fn removed(&self) -> Vec<Action> {
        let names = self.line.operands.iter().filter_map(|name| name.to_str());
        let remove = |package: Package| Action {
            package: package.name,
            old: Some(package.version),
            new: None,
            direction: Direction::Down,
            kind: Kind::Remove,
        };
        package::installed(names).into_iter().map(remove).collect()
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

/// The instances that the new one replaces: of one that lies beside those of other architectures its own.
/// `None` stands for that there is none.
fn replaced(installed: &[Package], new: &Package) -> Vec<Option<Version>> {
    let is_replaced = |old: &&Package| {
        let is_beside = new.version.multi_arch == Some(MultiArch::Same);
        let is_own = old.version.architecture == new.version.architecture;
        old.name == new.name && (is_own || !is_beside)
    };
    let replaced = installed.iter().filter(is_replaced);
    let replaced: Vec<_> = replaced.map(|old| Some(old.version.clone())).collect();
    match replaced.is_empty() {
        true => vec![None],
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn dpkg(action: &str, words: &str, directory: &Path) -> Dpkg {
        Dpkg {
            invocation: Invocation {
                action: action.to_owned(),
                ..Invocation::default()
            },
            line: CommandLine::parse(words.replace(' ', "\0").as_bytes()),
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn a_removal_is_told_with_what_is_installed() {
        let stream = dpkg("remove", "dpkg -r dpkg no-such-package", Path::new("/")).stream();
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
        let package = |text: &str| Package::parse(text).expect("a package");
        let both = ["x 1 amd64 same", "x 1 i386 same"].map(package);
        let one = ["x 1 all ", "y 1 amd64 same"].map(package);
        for (installed, new, expected) in [
            (&both, "x 2 i386 same", Some(&both[1])),
            (&both, "x 2 arm64 same", None),
            (&one, "x 2 amd64 no", Some(&one[0])),
            (&one, "z 2 amd64 ", None),
        ] {
            let expected = expected.map(|old| old.version.clone());
            assert_eq!(replaced(installed, &package(new)), [expected], "{new}");
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
        assert!(stream.actions.is_empty());
    }
}
