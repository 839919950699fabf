//! Packages with many files, as dpkg's database has them.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Below it all files are made.
const TOP: &str = "/usr/share/rousr-many";
/// Files of a package, and of a directory: about Debian's average.
const OF_A_PACKAGE: usize = 1000;
const OF_A_DIRECTORY: usize = 50;

/// A file, and its inode.
pub(super) struct Made {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) inode: u64,
}

/// What was made.
pub(super) struct Ground {
    pub(super) files: Vec<Made>,
    /// What apt tells its hooks when it upgrades all packages.
    pub(super) stream: Vec<u8>,
}

impl Ground {
    /// Makes so many files, empty, and lists them in dpkg's database.
    pub(super) fn make(files: usize) -> anyhow::Result<Self> {
        let mut ground = Self {
            files: Vec::with_capacity(files),
            stream: b"VERSION 3\nDPkg::Pre-Install-Pkgs=rousr\n\n".to_vec(),
        };
        for package in 0..files.div_ceil(OF_A_PACKAGE) {
            let left = files - package * OF_A_PACKAGE;
            ground.add(&format!("rousr-many-{package}"), left.min(OF_A_PACKAGE))?;
        }
        Ok(ground)
    }

    fn add(&mut self, package: &str, files: usize) -> anyhow::Result<()> {
        let list = format!("/var/lib/dpkg/info/{package}.list");
        let mut list = File::create(list)?;
        let mut lines = format!("/.\n/usr\n/usr/share\n{TOP}\n");
        for number in 0..files {
            let folder = Path::new(TOP).join(format!("{package}/part-{}", number / OF_A_DIRECTORY));
            if number % OF_A_DIRECTORY == 0 {
                fs::create_dir_all(&folder)?;
                lines.push_str(&format!("{}\n", folder.display()));
            }
            let name = format!("page-{number}.html");
            let path = folder.join(&name);
            let inode = File::create(&path)?.metadata()?.ino();
            lines.push_str(&format!("{}\n", path.display()));
            self.files.push(Made {
                folder,
                name,
                inode,
            });
        }
        list.write_all(lines.as_bytes())?;
        let action = format!("{package} 1.0-1 all none < 1.0-2 all none /nowhere/{package}.deb\n");
        self.stream.extend(action.as_bytes());
        Ok(())
    }
}
