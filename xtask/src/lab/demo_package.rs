//! Builds the demo package: programs that go on with the files an upgrade unlinks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{lab, process};

/// Builds `rousr-demo` in this version with the machine's own compiler and returns the .deb in
/// `out_dir`. The version shows in the library, the daemon, the data file and the script.
pub(crate) fn build(version: &str, out_dir: &Path) -> anyhow::Result<PathBuf> {
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let tree = Tree {
        sources: &lab::recipe().join("demo"),
        root: out_dir.join(format!("rousr-demo_{version}")),
        version,
        architecture: &architecture,
    };
    tree.clear()?;
    tree.compile()?;
    tree.fill()?;
    let package = out_dir.join(format!("rousr-demo_{version}_{architecture}.deb"));
    tree.pack(&package)?;
    tree.clear()?;
    Ok(package)
}

/// The files of the package before they are packed.
struct Tree<'a> {
    sources: &'a Path,
    root: PathBuf,
    version: &'a str,
    architecture: &'a str,
}

impl Tree<'_> {
    fn clear(&self) -> anyhow::Result<()> {
        if !self.root.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&self.root)
            .with_context(|| format!("cannot remove {}", self.root.display()))
    }

    fn compile(&self) -> anyhow::Result<()> {
        const SONAME: &str = "librousr-demo.so.1";
        let multiarch = output(Command::new("cc").arg("-print-multiarch"))?;
        let library = self.place(&format!("usr/lib/{multiarch}/{SONAME}"))?;
        let daemon = self.place("usr/sbin/rousr-demo-daemon")?;
        run(self
            .compiler()
            .args(["-shared", "-fPIC", &format!("-Wl,-soname,{SONAME}"), "-o"])
            .args([library.as_path(), &self.sources.join("library.c")]))?;
        run(self.compiler().arg("-o").args([
            daemon.as_path(),
            &self.sources.join("daemon.c"),
            &library,
        ]))
    }

    fn compiler(&self) -> Command {
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Wextra", "-Werror"]);
        compiler.arg(format!("-DVERSION=\"{}\"", self.version));
        compiler
    }

    fn fill(&self) -> anyhow::Result<()> {
        // Some pages, so that a held table shows in the bytes that holds take.
        const TABLE_LINES: usize = 4096;
        let table = format!("table version {}\n", self.version).repeat(TABLE_LINES);
        self.write("usr/share/rousr-demo/table.dat", &table)?;
        for (source, target) in [
            ("script.sh", "usr/share/rousr-demo/script.sh"),
            (
                "rousr-demo.service",
                "usr/lib/systemd/system/rousr-demo.service",
            ),
            (
                "rousr-demo-script.service",
                "usr/lib/systemd/system/rousr-demo-script.service",
            ),
            ("control", "DEBIAN/control"),
            ("triggers", "DEBIAN/triggers"),
        ] {
            self.write(target, &self.source(source)?)?;
        }
        Ok(())
    }

    /// The text of a source with this package's version and architecture in it.
    fn source(&self, name: &str) -> anyhow::Result<String> {
        let path = self.sources.join(name);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text
            .replace("@VERSION@", self.version)
            .replace("@ARCHITECTURE@", self.architecture))
    }

    fn write(&self, target: &str, text: &str) -> anyhow::Result<()> {
        let path = self.place(target)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A path in the tree whose directory exists.
    fn place(&self, target: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(target);
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(path)
    }

    fn pack(&self, package: &Path) -> anyhow::Result<()> {
        // The modes shall not depend on the umask: dpkg-deb refuses a control directory that
        // is too private.
        run(Command::new("chmod")
            .args(["-R", "a-s,u=rwX,go=rX"])
            .arg(&self.root))?;
        run(Command::new("dpkg-deb")
            .args(["--root-owner-group", "-b"])
            .args([self.root.as_path(), package]))
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    process::read(command).map(drop)
}

/// What a command prints, without white space around it.
fn output(command: &mut Command) -> anyhow::Result<String> {
    Ok(process::read_text(command)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn packs_both_versions_and_the_daemon_tells_them_apart() {
        let out_dir = env::temp_dir().join(format!("rousr-demo-package-{}", std::process::id()));
        fs::create_dir_all(&out_dir).unwrap();
        for version in ["1.0", "2.0"] {
            let package = build(version, &out_dir).unwrap();
            let field = |name| output(Command::new("dpkg-deb").arg("-f").arg(&package).arg(name));
            assert_eq!(field("Package").unwrap(), "rousr-demo");
            assert_eq!(field("Version").unwrap(), version);
            assert_eq!(files(&package), FILES);

            let installed = out_dir.join("installed");
            run(Command::new("dpkg-deb")
                .arg("-x")
                .args([&package, &installed]))
            .unwrap();
            assert_eq!(
                first_line(&installed),
                format!(
                    "daemon version {version}, library version {version}, table version {version}"
                )
            );
            let script = fs::read_to_string(installed.join("usr/share/rousr-demo/script.sh"));
            assert!(
                script
                    .unwrap()
                    .contains(&format!("\"script version {version}\""))
            );
        }
        fs::remove_dir_all(&out_dir).unwrap();
    }

    const FILES: [&str; 6] = [
        "-rwxr-xr-x root/root librousr-demo.so.1",
        "-rwxr-xr-x root/root rousr-demo-daemon",
        "-rw-r--r-- root/root rousr-demo-script.service",
        "-rw-r--r-- root/root rousr-demo.service",
        "-rw-r--r-- root/root script.sh",
        "-rw-r--r-- root/root table.dat",
    ];

    /// The files in a package, without sizes and times, by name.
    fn files(package: &Path) -> Vec<String> {
        let listed = output(Command::new("dpkg-deb").arg("-c").arg(package)).unwrap();
        let mut files: Vec<String> = listed
            .lines()
            .filter(|line| !line.starts_with('d'))
            .map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let name = fields[5].rsplit('/').next().unwrap();
                format!("{} {} {name}", fields[0], fields[1])
            })
            .collect();
        files.sort_by(|a, b| a.split(' ').next_back().cmp(&b.split(' ').next_back()));
        files
    }

    /// What the daemon says when it starts.
    fn first_line(installed: &Path) -> String {
        let multiarch = output(Command::new("cc").arg("-print-multiarch")).unwrap();
        let mut daemon = Command::new(installed.join("usr/sbin/rousr-demo-daemon"))
            .arg(installed.join("usr/share/rousr-demo/table.dat"))
            .env("LD_LIBRARY_PATH", installed.join("usr/lib").join(multiarch))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        line.trim_end().to_owned()
    }
}
