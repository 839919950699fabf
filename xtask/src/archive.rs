//! Debian's archive, any suite of it, through the machine's own mirror and a private apt.
//!
//! apt checks the signatures and checksums; the machine's own sources and lists stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{cache, process};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Suites with updates between the releases and a security archive beside them.
const STABLE: [&str; 2] = ["bookworm", "trixie"];

/// One suite, its index up to date.
#[derive(Debug)]
pub(crate) struct Archive {
    suite: &'static str,
    folder: PathBuf,
}

/// One version of a package in a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Names of the packages it depends on, first alternatives only.
    pub(crate) depends: Vec<String>,
}

impl Archive {
    /// Fetches the index of `suite`.
    pub(crate) fn open(suite: &'static str) -> Result<Self> {
        let folder = cache::folder()?.join("archive").join(suite);
        for needed in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(needed))
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(
            folder.join("sources.list"),
            sources(suite)?.join("\n") + "\n",
        )?;
        fs::write(folder.join("status"), "")?;
        let archive = Self { suite, folder };
        process::read(archive.apt("apt-get").args(["update", "--error-on=any"]))
            .with_context(|| format!("cannot read Debian's {suite} from the machine's mirror"))?;
        Ok(archive)
    }

    /// Every version of package `name` in the suite, newest first; none is an error.
    pub(crate) fn versions(&self, name: &str) -> Result<Vec<Package>> {
        self.all_versions(&[name])
    }

    /// The same of some packages, one after the other.
    pub(crate) fn all_versions(&self, names: &[&str]) -> Result<Vec<Package>> {
        let shown = process::read_text(self.apt("apt-cache").arg("show").args(names))
            .with_context(|| format!("not in Debian's {}: {}", self.suite, names.join(", ")))?;
        Ok(packages(&shown))
    }

    /// Downloads one version of a package into folder `into`; its file.
    pub(crate) fn download(&self, package: &Package, into: &Path) -> Result<PathBuf> {
        let folder = tempfile::tempdir_in(into)?;
        self.download_all(std::slice::from_ref(package), folder.path())?;
        let downloaded = fs::read_dir(&folder)?
            .next()
            .context("apt downloaded no file")??;
        let file = into.join(downloaded.file_name());
        fs::rename(downloaded.path(), &file)?;
        Ok(file)
    }

    /// Downloads one version of each of these packages into folder `into`.
    pub(crate) fn download_all(&self, packages: &[Package], into: &Path) -> Result<()> {
        let wanted: Vec<String> = packages
            .iter()
            .map(|Package { name, version, .. }| format!("{name}={version}"))
            .collect();
        process::read(
            self.apt("apt-get")
                .arg("download")
                .args(&wanted)
                .current_dir(into),
        )
        .with_context(|| format!("cannot download {}", wanted.join(" ")))?;
        Ok(())
    }

    /// `program`, an apt tool, for this suite only.
    fn apt(&self, program: &str) -> Command {
        let folder = self.folder.display();
        let mut command = Command::new(program);
        command
            .env("LC_ALL", "C")
            .args(["-q", "-o", "APT::Sandbox::User=root"]);
        for option in [
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferences=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            format!("Dir::State={folder}"),
            format!("Dir::State::status={folder}/status"),
            format!("Dir::Cache={folder}/cache"),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

/// Unpacks the files of package `deb` into folder `into`; installs nothing.
pub(crate) fn unpack(deb: &Path, into: &Path) -> Result<()> {
    process::read(Command::new("dpkg-deb").arg("-x").args([deb, into]))?;
    Ok(())
}

/// The lines of a sources.list for `suite`, its updates and its security archive.
pub(crate) fn sources(suite: &str) -> Result<Vec<String>> {
    ensure!(
        Path::new(KEYRING).exists(),
        "no {KEYRING}: install debian-archive-keyring"
    );
    let mirrors = Mirrors::of_machine()?;
    let line = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main");
    let mut lines = vec![line(&mirrors.main, suite)];
    if STABLE.contains(&suite) {
        lines.push(line(&mirrors.main, &format!("{suite}-updates")));
        if let Some(security) = mirrors.security {
            lines.push(line(&security, &format!("{suite}-security")));
        }
    }
    Ok(lines)
}

/// Where the machine's apt gets Debian from.
#[derive(Debug, PartialEq, Eq)]
struct Mirrors {
    main: String,
    security: Option<String>,
}

impl Mirrors {
    fn of_machine() -> Result<Self> {
        let targets = process::read_text(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(LABEL)",
            "Created-By: Packages",
        ]))
        .context("cannot ask apt for the machine's mirror")?;
        match Self::among(&targets) {
            Some(mirrors) => Ok(mirrors),
            None => bail!(
                "apt on this machine knows no Debian mirror: add a line like \
                 `deb URI trixie main` to /etc/apt/sources.list"
            ),
        }
    }

    /// Picks Debian's mirrors among lines of URI and label; others' repositories are ignored.
    ///
    /// The label is Debian's own word but only known once apt has fetched an index: without it
    /// the path has to do.
    fn among(targets: &str) -> Option<Self> {
        let labelled = |label: &str, folder: &str| {
            targets.lines().find_map(|line| {
                let (uri, said) = line.split_once(' ').unwrap_or((line, ""));
                let unknown = said.is_empty() || said.starts_with("$(");
                let in_folder = uri.trim_end_matches('/').ends_with(folder);
                (said == label || unknown && in_folder).then(|| uri.to_owned())
            })
        };
        Some(Self {
            main: labelled("Debian", "/debian")?,
            security: labelled("Debian-Security", "/debian-security"),
        })
    }
}

/// The packages of `shown`, the output of `apt-cache show`.
fn packages(shown: &str) -> Vec<Package> {
    shown.split("\n\n").filter_map(package).collect()
}

fn package(stanza: &str) -> Option<Package> {
    let field = |name: &str| field(stanza, name);
    let depends = field("Depends").unwrap_or_default();
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        depends: depends
            .split(',')
            .filter_map(|dependency| dependency.split_whitespace().next())
            .map(str::to_owned)
            .collect(),
    })
}

/// The value of a field in a paragraph of a control file.
pub(crate) fn field<'s>(stanza: &'s str, name: &str) -> Option<&'s str> {
    let mut lines = stanza.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_debians_mirrors() {
        let cases = [
            (
                "http://m/debian/ Debian\nhttp://m/debian-security/ Debian-Security\n",
                Some(("http://m/debian/", Some("http://m/debian-security/"))),
            ),
            (
                "https://other/apt/ other\nhttp://m/x/ Debian\n",
                Some(("http://m/x/", None)),
            ),
            ("http://m/debian/ \n", Some(("http://m/debian/", None))),
            (
                "http://m/debian $(LABEL)\n",
                Some(("http://m/debian", None)),
            ),
            ("https://other/debian/ Docker CE\n", None),
            ("", None),
        ];
        for (targets, expected) in cases {
            let expected = expected.map(|(main, security): (&str, Option<&str>)| Mirrors {
                main: main.into(),
                security: security.map(Into::into),
            });
            assert_eq!(Mirrors::among(targets), expected, "{targets:?}");
        }
    }

    #[test]
    fn reads_packages() {
        let shown = "Package: a\nVersion: 2\nDepends: b (= 2), c | d, e:any\nSize: 7\n\n\
                     Package: a\nVersion: 1\n\n";
        let package = |version: &str, depends: &[&str]| Package {
            name: "a".into(),
            version: version.into(),
            depends: depends.iter().map(|&name| name.into()).collect(),
        };
        assert_eq!(
            packages(shown),
            [package("2", &["b", "c", "e:any"]), package("1", &[])]
        );
    }
}
