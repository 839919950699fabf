//! Whoever changes software, and whoever else has hooks: /usr is sealed after it, and what is in use is kept.

mod root {
    use std::{
        collections::BTreeSet,
        fs::{self, File},
        path::PathBuf,
    };

    use rousr_tests::{
        archive::Archive,
        assert_sealed, begin, holds, inode, orphans,
        package::{self, FOLDER, Packed},
        snippet::Snippet,
        succeed, transactions, wait_for_reap,
    };

    fn built(version: &str) -> PathBuf {
        let data = Packed {
            name: "data".into(),
            content: version.into(),
            mode: 0o644,
        };
        package::build(version, &[data])
    }

    const FILE: &str = "/usr/share/rousr-kinds/data";

    /// Has these files replaced, each a package's, while they are open, all in one transaction; returns what was told.
    #[track_caller]
    fn replace(files: &[&str], [old, new]: [&str; 2], command: &str) -> String {
        let before = transactions().len();
        let held: BTreeSet<_> = files.iter().map(|file| inode(file)).collect();
        let open = |file: &&str| File::open(file).expect("opened");
        let users: Vec<_> = files.iter().map(open).collect();
        let told = succeed(command);
        for file in files {
            let content = fs::read(file).expect("it is installed");
            assert_eq!(content, new.as_bytes(), "{file}: {told}");
        }
        assert_sealed();
        assert_eq!(orphans(), [] as [PathBuf; 0]);
        assert_eq!(holds(), held, "{told}");
        let after = transactions();
        assert_eq!(after.len(), before + 1, "{told}");
        let last = after.last().expect("a transaction");
        let packages = last["packages"].as_array().expect("packages");
        assert_eq!(packages.len(), files.len(), "{last:#}");
        for package in packages {
            assert_eq!(package["oldVersion"], old, "{last:#}");
            assert_eq!(package["newVersion"], new, "{last:#}");
        }
        drop(users);
        wait_for_reap();
        told
    }

    #[track_caller]
    fn is_upgraded_by(command: &str) {
        begin();
        package::install(&built("1"));
        let archive = Archive::of(&[&built("2")]);
        replace(&[FILE], ["1", "2"], command);
        drop(archive);
    }

    #[test]
    fn aptitude() {
        is_upgraded_by("aptitude -y -q safe-upgrade");
    }

    #[test]
    fn unattended_upgrades() {
        let any = "Unattended-Upgrade::Origins-Pattern { \"origin=*\"; };";
        let settings = Snippet::new("91unattended", any);
        is_upgraded_by("unattended-upgrade -v");
        drop(settings);
    }

    /// Its daemon runs the hooks, and goes on when the transaction is over.
    #[test]
    fn packagekit() {
        is_upgraded_by("pkcon -y -p update rousr-kinds");
        succeed("systemctl is-active packagekit && systemctl stop packagekit");
    }

    /// One package has to be configured before the other is unpacked.
    #[test]
    fn apt_with_several_runs_of_dpkg() {
        begin();
        package::install(&built("1"));
        let [old, new] = ["1", "2"].map(dependent);
        package::install(&old);
        let archive = Archive::of(&[&built("2"), &new]);
        let log = "grep -c ' startup ' /var/log/dpkg.log";
        let runs = || -> u32 { succeed(log).trim().parse().expect("a number") };
        let before = runs();
        let files = [FILE, "/usr/share/rousr-dependent/data"];
        let told = replace(&files, ["1", "2"], "apt-get -y -q dist-upgrade");
        assert!(runs() - before > 2, "{told}");
        assert_eq!(told.matches("rousr:").count(), 1, "{told}");
        succeed("apt-get -y -q purge rousr-dependent");
        drop(archive);
    }

    /// The package under another name; it needs the first, configured, to be unpacked.
    fn dependent(version: &str) -> PathBuf {
        let tree = "/run/rousr-dependent";
        let package = PathBuf::from(format!("{tree}_{version}_all.deb"));
        succeed(&format!(
            "dpkg-deb -R {} {tree} && mv {tree}{FOLDER} {tree}/usr/share/rousr-dependent && \
             sed -i 's/^Package: .*/Package: rousr-dependent\\nPre-Depends: rousr-kinds (>= {version})/' \
             {tree}/DEBIAN/control && dpkg-deb --root-owner-group -Znone -b {tree} {} && rm -r {tree}",
            built(version).display(),
            package.display()
        ));
        package
    }

    /// Where a name stands to those of rousr's snippets, 01rousr and zz-rousr.
    #[derive(Clone, Copy, Debug)]
    enum Place {
        Before,
        Between,
        After,
    }

    impl Place {
        fn name(self, package: &str) -> String {
            match self {
                Self::Before => format!("00{package}"),
                Self::Between => format!("50{package}"),
                Self::After => format!("zzz-{package}"),
            }
        }
    }

    /// One before, one between and one after both of rousr's.
    #[test]
    fn others_have_hooks_in_every_order() {
        use Place::{After, Before, Between};
        begin();
        let scan = Snippet::put_back("dpkg/dpkg.cfg.d/needrestart", "needrestart");
        let mut versions = [("1", built("1")), ("2", built("2"))];
        package::install(&versions[0].1);
        for order in [
            [Before, Between, After],
            [Before, After, Between],
            [Between, Before, After],
            [Between, After, Before],
            [After, Before, Between],
            [After, Between, Before],
        ] {
            let [etckeeper, packagekit, needrestart] = order;
            let snippets = [
                ("05etckeeper", etckeeper.name("etckeeper")),
                ("20packagekit", packagekit.name("packagekit")),
                ("99needrestart", needrestart.name("needrestart")),
            ]
            .map(|(original, name)| {
                Snippet::put_back(&format!("apt/apt.conf.d/{original}"), &name)
            });
            succeed("systemctl stop packagekit");
            fs::write("/etc/rousr-changed", format!("{order:?}")).expect("written");
            let commits = commits();
            let [(old, _), (new, package)] = &versions;
            let package = package.display();
            let command = format!("apt-get -y -q install --allow-downgrades {package}");
            let told = replace(&[FILE], [old, new], &command);
            assert!(
                told.contains("rousr: /usr is read-only again"),
                "{order:?}: {told}"
            );
            // Each of the others has done its work.
            assert!(self::commits() > commits, "{order:?}: {told}");
            assert!(
                told.contains("No services need to be restarted"),
                "{order:?}: {told}"
            );
            succeed("systemctl is-active packagekit");
            drop(snippets);
            versions.reverse();
        }
        drop(scan);
        succeed("rm /etc/rousr-changed");
    }

    fn commits() -> u32 {
        let told = succeed("git -C /etc rev-list --count HEAD");
        told.trim().parse().expect("a number")
    }
}
