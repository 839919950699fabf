//! Reads dpkg's admin directory. Only this file of the room and `environment` touch the disk.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::database::{self, Aliases, Diversions, DiversionsCutShort, View};
use super::hook::Version;

/// dpkg's database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminDir {
    path: PathBuf,
}

/// Why dpkg's database could not tell a package's files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read.
    #[error("cannot read {}: {source}; `dpkg --audit` checks dpkg's database", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The diversions are damaged.
    #[error(transparent)]
    Diversions(#[from] DiversionsCutShort),
    /// No files list, although apt says that the package is installed.
    #[error(
        "dpkg has no files list of {package} in {}: `apt install --reinstall {package}` \
         writes it anew",
        info.display()
    )]
    NoList {
        /// The package's name.
        package: String,
        /// Where the list should be.
        info: PathBuf,
    },
}

impl Default for AdminDir {
    fn default() -> Self {
        Self::new("/var/lib/dpkg")
    }
}

impl AdminDir {
    /// A database at a place of its own.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The database this process's dpkg would use: `DPKG_ADMINDIR`, or /var/lib/dpkg.
    pub fn from_environment() -> Self {
        env::var_os("DPKG_ADMINDIR")
            .filter(|path| !path.is_empty())
            .map_or_else(Self::default, Self::new)
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is needed to find listed files below `mount`, in a system whose root is `root`
    /// (`/`, except in tests).
    ///
    /// # Errors
    /// The root or the diversions cannot be read, or the diversions are damaged.
    pub fn view(&self, root: &Path, mount: &Path) -> Result<View, Error> {
        Ok(View {
            mount: mount.to_path_buf(),
            aliases: read_aliases(root)?,
            diversions: self.diversions()?,
        })
    }

    /// The paths below the view's mount where `package`'s files are stored, directories among
    /// them. Where the architecture is not known, those of all its instances.
    ///
    /// # Errors
    /// The list cannot be read, or there is none.
    pub fn installed_files(
        &self,
        package: &str,
        installed: Option<&Version>,
        view: &View,
    ) -> Result<Vec<PathBuf>, Error> {
        let lists = self.lists(package, installed)?;
        if lists.is_empty() {
            return Err(Error::NoList {
                package: package.to_owned(),
                info: self.info(),
            });
        }
        let mut files = Vec::new();
        for path in lists {
            let list = fs::read(&path).map_err(|source| Error::Read { path, source })?;
            files.extend(view.stored_files(&list, package));
        }
        Ok(files)
    }

    fn info(&self) -> PathBuf {
        self.path.join("info")
    }

    /// The files list of the installed instance; of every instance where it is not known which.
    fn lists(&self, package: &str, installed: Option<&Version>) -> Result<Vec<PathBuf>, Error> {
        let Some((architecture, multi_arch)) = installed.and_then(Version::instance) else {
            return self.lists_of_all_instances(package);
        };
        let names = database::list_names(package, architecture, multi_arch);
        let list = names
            .iter()
            .map(|name| self.info().join(name))
            .find(|path| path.exists());
        Ok(list.into_iter().collect())
    }

    fn lists_of_all_instances(&self, package: &str) -> Result<Vec<PathBuf>, Error> {
        let info = self.info();
        let failed = |source| Error::Read {
            path: info.clone(),
            source,
        };
        let mut lists = Vec::new();
        for entry in fs::read_dir(&info).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if database::is_list_of(name.as_bytes(), package) {
                lists.push(info.join(name));
            }
        }
        Ok(lists)
    }

    fn diversions(&self) -> Result<Diversions, Error> {
        let path = self.path.join("diversions");
        match fs::read(&path) {
            Ok(bytes) => Ok(Diversions::parse(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Diversions::default()),
            Err(source) => Err(Error::Read { path, source }),
        }
    }
}

/// Every symbolic link at the top of `root`: a relative target is taken from `/`.
fn read_aliases(root: &Path) -> Result<Aliases, Error> {
    let failed = |source| Error::Read {
        path: root.to_path_buf(),
        source,
    };
    let mut pairs = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().map_err(failed)?.is_symlink() {
            continue;
        }
        let target = fs::read_link(entry.path()).map_err(failed)?;
        pairs.push((
            Path::new("/").join(entry.file_name()),
            Path::new("/").join(target),
        ));
    }
    Ok(Aliases::new(pairs))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::super::hook::MultiArch;
    use super::*;

    /// A system of its own: a merged /usr, and a package for each way to name a files list.
    fn system() -> (TempDir, AdminDir) {
        let root = TempDir::new().unwrap();
        let admin_dir = AdminDir::new(root.path().join("var/lib/dpkg"));
        fs::create_dir_all(admin_dir.info()).unwrap();
        symlink("usr/lib", root.path().join("lib")).unwrap();
        fs::create_dir(root.path().join("usr")).unwrap();
        let lists = [
            (
                "libc6:amd64.list",
                "/.\n/lib\n/lib/amd64.so\n/etc/ld.so.conf\n",
            ),
            ("libc6:i386.list", "/lib/i386.so\n"),
            ("libc6-dev:amd64.list", "/usr/include/a.h\n"),
            ("bash.list", "/usr/bin/bash\n/usr/share/man/sh.1\n"),
        ];
        for (name, list) in lists {
            fs::write(admin_dir.info().join(name), list).unwrap();
        }
        fs::write(
            admin_dir.path().join("diversions"),
            "/usr/share/man/sh.1\n/usr/share/man/sh.distrib.1\ndash\n",
        )
        .unwrap();
        (root, admin_dir)
    }

    fn version(architecture: &str, multi_arch: MultiArch) -> Version {
        Version {
            version: "1".to_owned(),
            architecture: Some(architecture.to_owned()),
            multi_arch: Some(multi_arch),
        }
    }

    #[test]
    fn finds_the_files_of_an_instance() {
        let (root, admin_dir) = system();
        let view = admin_dir.view(root.path(), Path::new("/usr")).unwrap();
        let cases = [
            (
                "libc6",
                version("amd64", MultiArch::Same),
                vec!["/usr/lib", "/usr/lib/amd64.so"],
            ),
            (
                "libc6",
                version("i386", MultiArch::Same),
                vec!["/usr/lib/i386.so"],
            ),
            (
                "libc6-dev",
                version("amd64", MultiArch::None),
                vec!["/usr/include/a.h"],
            ),
            (
                "bash",
                version("amd64", MultiArch::Same),
                vec!["/usr/bin/bash", "/usr/share/man/sh.distrib.1"],
            ),
        ];
        for (package, installed, files) in cases {
            let found = admin_dir
                .installed_files(package, Some(&installed), &view)
                .unwrap();
            let expected: Vec<_> = files.into_iter().map(PathBuf::from).collect();
            assert_eq!(found, expected, "{package} {installed:?}");
        }
    }

    #[test]
    fn takes_every_instance_where_the_protocol_does_not_tell() {
        let (root, admin_dir) = system();
        let view = admin_dir.view(root.path(), Path::new("/usr")).unwrap();
        let bare = Version {
            version: "1".to_owned(),
            architecture: None,
            multi_arch: None,
        };
        for installed in [None, Some(&bare)] {
            let mut found = admin_dir
                .installed_files("libc6", installed, &view)
                .unwrap();
            found.sort();
            let expected = ["/usr/lib", "/usr/lib/amd64.so", "/usr/lib/i386.so"];
            assert_eq!(found, expected.map(PathBuf::from));
        }
    }

    #[test]
    fn tells_what_is_missing() {
        let (root, admin_dir) = system();
        let view = admin_dir.view(root.path(), Path::new("/usr")).unwrap();
        for installed in [None, Some(&version("amd64", MultiArch::None))] {
            let error = admin_dir
                .installed_files("nothing", installed, &view)
                .unwrap_err();
            assert!(matches!(&error, Error::NoList { package, .. } if package == "nothing"));
        }
        fs::write(admin_dir.path().join("diversions"), "/a\n").unwrap();
        let error = admin_dir.view(root.path(), Path::new("/usr")).unwrap_err();
        assert!(matches!(
            error,
            Error::Diversions(DiversionsCutShort { lines: 1 })
        ));
        fs::remove_file(admin_dir.path().join("diversions")).unwrap();
        let view = admin_dir.view(root.path(), Path::new("/usr")).unwrap();
        assert_eq!(view.diversions, Diversions::default());
        let elsewhere = AdminDir::new(root.path().join("absent"));
        let error = elsewhere.installed_files("bash", None, &view).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
    }
}
