//! What Debian's control files say.

use crate::archive::field;

/// A package as dpkg's status file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) source: String,
    /// What its files take, KiB.
    pub(super) kib: u64,
    /// All that is said about it.
    pub(super) stanza: String,
}

/// The packages of a status file that are installed.
pub(super) fn installed(status: &str) -> Vec<Installed> {
    let package = |stanza: &str| {
        let field = |name: &str| field(stanza, name).map(str::to_owned);
        if field("Status")? != "install ok installed" {
            return None;
        }
        let name = field("Package")?;
        // Behind it stands a version, where that is another.
        let source = field("Source").and_then(|source| Some(source.split(' ').next()?.to_owned()));
        Some(Installed {
            version: field("Version")?,
            source: source.unwrap_or_else(|| name.clone()),
            kib: field("Installed-Size")
                .and_then(|kib| kib.parse().ok())
                .unwrap_or(0),
            stanza: stanza.to_owned(),
            name,
        })
    };
    status.split("\n\n").filter_map(package).collect()
}

/// The fields in which a version of another package can be named.
const RELATIONS: [&str; 7] = [
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Replaces",
];

/// Whether a package cannot be without just this version of another.
pub(super) fn needs_exactly(stanza: &str, name: &str, version: &str) -> bool {
    let relations = ["Depends", "Pre-Depends"].into_iter();
    relations
        .filter_map(|relation| field(stanza, relation))
        .flat_map(|relations| relations.split([',', '|']))
        .any(|relation| exact(relation) == Some((name, version)))
}

/// A package's name and version, where a relation names just that one.
fn exact(relation: &str) -> Option<(&str, &str)> {
    let (name, version) = relation.trim().split_once(" (= ")?;
    let name = name.split(':').next()?;
    Some((name, version.strip_suffix(')')?))
}

/// A control file with another version, and with another one in relations to exact versions where `newer`
/// knows it.
pub(super) fn renewed(
    control: &str,
    version: &str,
    newer: impl Fn(&str, &str) -> Option<String>,
) -> String {
    let mut renewed = String::new();
    for line in control.lines() {
        match line.split_once(": ") {
            Some(("Version", _)) => renewed += &format!("Version: {version}"),
            Some((field, relations)) if RELATIONS.contains(&field) => {
                renewed += &format!("{field}: {}", related(relations, &newer));
            }
            _ => renewed += line,
        }
        renewed.push('\n');
    }
    renewed
}

fn related(relations: &str, newer: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut text = String::new();
    for relation in relations.split_inclusive([',', '|']) {
        let whole = relation.trim_end_matches([',', '|']);
        match exact(whole).and_then(|(name, version)| Some((version, newer(name, version)?))) {
            Some((old, new)) => {
                text += &relation.replace(&format!("(= {old})"), &format!("(= {new})"))
            }
            None => text += relation,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: a\nStatus: install ok installed\nInstalled-Size: 7\nVersion: 1\n\n\
                          Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                          Package: c\nSource: s (2)\nStatus: install ok installed\nVersion: 2+b1\n\
                          Depends: a (= 1), d (>= 3) | e:any (= 4)\n";

    #[test]
    fn what_is_installed() {
        let found = installed(STATUS);
        let told: Vec<_> = found
            .iter()
            .map(|package| {
                (
                    &*package.name,
                    &*package.version,
                    &*package.source,
                    package.kib,
                )
            })
            .collect();
        assert_eq!(told, [("a", "1", "a", 7), ("c", "2+b1", "s", 0)]);
        let needs = |name, version| needs_exactly(&found[1].stanza, name, version);
        assert!(needs("a", "1") && needs("e", "4"));
        assert!(!needs("a", "2") && !needs("d", "3"));
    }

    #[test]
    fn exact_versions_follow() {
        let control = "Package: c\nVersion: 1\nDepends: a (= 1), b (>= 1) |d:any (= 1), e (= 9)\n\
                       Provides: x (= 1)\nDescription: c\n Depends: a (= 1)\n";
        let newer = |name: &str, version: &str| {
            (["a", "b", "d"].contains(&name) && version == "1").then(|| "1+r".to_owned())
        };
        assert_eq!(
            renewed(control, "1+r", newer),
            "Package: c\nVersion: 1+r\nDepends: a (= 1+r), b (>= 1) |d:any (= 1+r), e (= 9)\n\
             Provides: x (= 1)\nDescription: c\n Depends: a (= 1)\n"
        );
    }
}
