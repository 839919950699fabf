//! Which files a transaction will replace or remove.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use super::admin_dir::Error;
use super::hook::{Action, Direction, Kind, Version};

/// A package that loses its installed version, by what apt says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Losing {
    /// Its name.
    pub package: String,
    /// What is installed; `None` where the protocol does not tell.
    pub old_version: Option<String>,
    /// What will be; `None` for a removal, and where the protocol does not tell.
    pub new_version: Option<String>,
    /// Where its files are stored; directories and files already gone may be among them.
    pub files: Vec<PathBuf>,
}

/// A package whose files could not be told.
#[derive(Debug, thiserror::Error)]
#[error("files of {package} are not preserved: {source}")]
pub struct Unlisted {
    /// The package's name.
    pub package: String,
    /// Why.
    pub source: Error,
}

/// Every package that loses its installed version with its files, each path once, in the order
/// of the actions; beside them the packages that `files_of` failed for, so that the rest goes on.
///
/// `files_of` tells the files of the installed version of an action's package.
pub fn candidates(
    actions: &[Action],
    mut files_of: impl FnMut(&Action) -> Result<Vec<PathBuf>, Error>,
) -> (Vec<Losing>, Vec<Unlisted>) {
    let mut losing = Vec::new();
    let mut unlisted = Vec::new();
    for action in actions.iter().filter(|action| loses_files(action)) {
        let files = match files_of(action) {
            Ok(files) => files,
            // Version 1 lists new packages like any other: this is one.
            Err(Error::NoList { .. }) if action.direction == Direction::Unstated => continue,
            Err(source) => {
                unlisted.push(Unlisted {
                    package: action.package.clone(),
                    source,
                });
                continue;
            }
        };
        losing.push(Losing {
            package: action.package.clone(),
            old_version: shown(action.old.as_ref()),
            new_version: shown(action.new.as_ref()),
            files,
        });
    }
    keep_first(&mut losing);
    (losing, unlisted)
}

/// Leaves each path once. Directories are in many lists.
fn keep_first(losing: &mut [Losing]) {
    let mut seen: HashSet<&OsStr> = HashSet::new();
    let files = losing.iter().flat_map(|package| &package.files);
    let is_first: Vec<bool> = files.map(|file| seen.insert(file.as_os_str())).collect();
    let mut is_first = is_first.into_iter();
    for package in losing {
        package.files.retain(|_| is_first.next().unwrap_or(true));
    }
}

fn loses_files(action: &Action) -> bool {
    match action.kind {
        Kind::Unpack(_) => action.old.is_some() || action.direction == Direction::Unstated,
        Kind::Remove => true,
        Kind::Configure | Kind::Error => false,
    }
}

fn shown(version: Option<&Version>) -> Option<String> {
    version.map(|known| known.version.clone())
}

#[cfg(test)]
mod tests {
    use super::super::hook::Stream;
    use super::*;

    fn actions(stream: &str) -> Vec<Action> {
        Stream::parse(stream.as_bytes()).unwrap().actions
    }

    /// Every package has a file of its own and one that it shares with all others.
    fn two_files(action: &Action) -> Result<Vec<PathBuf>, Error> {
        match action.package.as_str() {
            "broken" => Err(Error::NoList {
                package: "broken".to_owned(),
                info: "/i".into(),
            }),
            package => Ok(vec![
                PathBuf::from("/usr/shared"),
                format!("/usr/{package}").into(),
            ]),
        }
    }

    type Shown<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>);

    /// Every file with what is told of its package.
    fn shown(losing: &[Losing]) -> Vec<Shown<'_>> {
        losing
            .iter()
            .flat_map(|package| package.files.iter().map(move |file| (package, file)))
            .map(|(package, file)| {
                (
                    file.to_str().unwrap(),
                    package.package.as_str(),
                    package.old_version.as_deref(),
                    package.new_version.as_deref(),
                )
            })
            .collect()
    }

    #[test]
    fn upgrades_and_removals_lose_files() {
        let actions = actions(
            "VERSION 3\nDir=/\n\n\
             gone 1 amd64 none > - - none **REMOVE**\n\
             up 1 amd64 none < 2 amd64 none /up.deb\n\
             fresh - - none < 2 amd64 none /fresh.deb\n\
             down 2 all none > 1 all none /down.deb\n\
             again 1 all none = 1 all none /again.deb\n\
             lost 1 all none < 2 all none **ERROR**\n\
             up 1 amd64 none < 2 amd64 none **CONFIGURE**\n\
             half 1 amd64 none = 1 amd64 none **CONFIGURE**\n",
        );
        let (found, unlisted) = candidates(&actions, two_files);
        assert!(unlisted.is_empty());
        assert_eq!(
            shown(&found),
            [
                ("/usr/shared", "gone", Some("1"), None),
                ("/usr/gone", "gone", Some("1"), None),
                ("/usr/up", "up", Some("1"), Some("2")),
                ("/usr/down", "down", Some("2"), Some("1")),
                ("/usr/again", "again", Some("1"), Some("1")),
            ]
        );
    }

    #[test]
    fn a_package_without_a_list_does_not_stop_the_rest() {
        let actions = actions("VERSION 2\nDir=/\n\nbroken 1 < 2 /broken.deb\nup 1 < 2 /up.deb\n");
        let (found, unlisted) = candidates(&actions, two_files);
        assert_eq!(shown(&found).len(), 2);
        assert_eq!(
            unlisted.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "files of broken are not preserved: dpkg has no files list of broken in /i: \
              `apt install --reinstall broken` writes it anew"
            ]
        );
    }

    #[test]
    fn version_1_asks_for_every_package_and_forgives_new_ones() {
        let (found, unlisted) =
            candidates(&actions("/broken_1_all.deb\n/up_2_all.deb\n"), two_files);
        assert!(unlisted.is_empty());
        assert_eq!(
            shown(&found),
            [
                ("/usr/shared", "up", None, None),
                ("/usr/up", "up", None, None)
            ]
        );
    }
}
