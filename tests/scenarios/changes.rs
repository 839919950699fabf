//! Whatever dpkg does to a file, its old inode has a hold before: seen from the packages' own scripts.

mod root {
    use std::{
        collections::BTreeSet,
        ffi::OsStr,
        fs::{self, File},
        os::unix::{
            ffi::OsStrExt as _,
            fs::{MetadataExt as _, PermissionsExt as _, symlink},
        },
        path::{Path, PathBuf},
    };

    use rousr_tests::{
        SOON, assert_sealed, begin, holds, orphans, shell, succeed, wait, wait_for_reap,
    };

    const FOLDER: &str = "/usr/share/rousr-changes";
    /// What the scripts see of the holds while dpkg is at work.
    const SEEN: &str = "/run/rousr-changes-seen";

    /// Files of rousr-a, each told by a different way of being listed.
    const OF_A: [&[u8]; 6] = [
        b"plain",
        b"with  space",
        b"not\xffUTF-8\xfe",
        b"two-names",
        b"conf",
        b"diverted",
    ];

    /// The tree that a package is built from.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(name: &str, version: u32, fields: &str) -> Self {
            let tree = Self(tempfile::tempdir_in("/run").expect("a folder"));
            fs::set_permissions(tree.0.path(), fs::Permissions::from_mode(0o755)).expect("set");
            let control = format!(
                "Package: {name}\nVersion: {version}\nMaintainer: rousr developers <rousr@localhost>\n\
                 {fields}Description: files to change\n"
            );
            tree.add(Path::new("/DEBIAN/control"), control.as_bytes());
            tree
        }

        fn path(&self, path: &Path) -> PathBuf {
            self.0
                .path()
                .join(path.strip_prefix("/").expect("absolute"))
        }

        fn add(&self, path: &Path, content: &[u8]) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
            fs::write(path, content).expect("written");
        }

        fn script(&self, name: &str, script: &str) {
            let path = PathBuf::from(format!("/DEBIAN/{name}"));
            self.add(&path, format!("#!/bin/sh\nset -e\n{script}\n").as_bytes());
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(self.path(&path), mode).expect("set");
        }

        fn build(&self, name: &str, version: u32) {
            let tree = self.0.path().display();
            succeed(&format!(
                "dpkg-deb --root-owner-group -Znone -b {tree} /run/{name}_{version}.deb"
            ));
        }
    }

    fn file(name: &[u8]) -> PathBuf {
        Path::new(FOLDER).join(OsStr::from_bytes(name))
    }

    /// rousr-a takes a file over from rousr-b in version 2, and all of rousr-d's, which disappears then.
    fn build(version: u32) {
        let content = format!("version {version}");
        let see = format!("ls /usr/.rousr >{SEEN}");

        let a = Tree::new(
            "rousr-a",
            version,
            "Architecture: all\nReplaces: rousr-b (<< 2), rousr-d\n",
        );
        for name in OF_A {
            a.add(&file(name), content.as_bytes());
        }
        fs::hard_link(
            a.path(&file(b"two-names")),
            a.path(&file(b"its-other-name")),
        )
        .expect("linked");
        symlink("plain", a.path(&file(b"symlink"))).expect("linked");
        a.add(
            Path::new("/DEBIAN/conffiles"),
            format!("{FOLDER}/conf\n").as_bytes(),
        );
        if version == 2 {
            a.add(&file(b"moved"), content.as_bytes());
            a.add(&file(b"disappearing"), content.as_bytes());
        }
        a.script("preinst", &see);
        a.script("prerm", &format!("[ \"$1\" = upgrade ] || {see}"));
        a.build("rousr-a", version);

        let b = Tree::new("rousr-b", version, "Architecture: all\n");
        b.add(&file(b"stays"), content.as_bytes());
        if version == 1 {
            b.add(&file(b"moved"), content.as_bytes());
        }
        b.build("rousr-b", version);

        // Its list has the architecture in its name, and its file is named by way of the alias /lib.
        let m = Tree::new(
            "rousr-m",
            version,
            "Architecture: amd64\nMulti-Arch: same\n",
        );
        m.add(Path::new("/lib/rousr-changes/aliased"), content.as_bytes());
        m.build("rousr-m", version);

        if version == 1 {
            let d = Tree::new("rousr-d", version, "Architecture: all\n");
            d.add(&file(b"disappearing"), content.as_bytes());
            d.build("rousr-d", version);
        }
    }

    fn apt(options: &str, packages: &[&str]) -> String {
        shell(&format!("rm -f {SEEN}"));
        let packages = packages.join(" ");
        let told = succeed(&format!("apt-get -y -q {options} {packages} 2>&1"));
        assert_sealed();
        assert_eq!(orphans(), [] as [PathBuf; 0], "{told}");
        told
    }

    /// The inodes of these files.
    fn inodes(files: &[PathBuf]) -> BTreeSet<u64> {
        let inode = |file: &PathBuf| {
            let found = fs::symlink_metadata(file);
            found
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
                .ino()
        };
        files.iter().map(inode).collect()
    }

    /// Each of `expected` was among the holds when dpkg was at work.
    #[track_caller]
    fn assert_seen(expected: &BTreeSet<u64>, what: &str) {
        let seen = fs::read_to_string(SEEN).unwrap_or_else(|error| panic!("{what}: {error}"));
        let seen: BTreeSet<u64> = seen.lines().filter_map(|name| name.parse().ok()).collect();
        assert!(
            expected.is_subset(&seen),
            "{what}: {expected:?} in {seen:?}"
        );
    }

    /// What the lists of the packages name.
    fn listed() -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = OF_A.iter().map(|name| file(name)).collect();
        *files.last_mut().expect("some") = file(b"diverted.real");
        files.push("/usr/lib/rousr-changes/aliased".into());
        files
    }

    fn cleanup() {
        shell(&format!(
            "apt-get -y -q purge rousr-a rousr-b rousr-m rousr-d; \
             dpkg-divert --quiet --rename --remove {FOLDER}/diverted; \
             rousr exec -- update-alternatives --quiet --remove-all rousr-alternative"
        ));
    }

    #[test]
    fn of_every_kind() {
        begin();
        cleanup();
        let debs = |version: u32, names: &[&str]| -> Vec<String> {
            let deb = |name: &&str| format!("/run/{name}_{version}.deb");
            names.iter().map(deb).collect()
        };
        build(1);
        build(2);
        let all = ["rousr-a", "rousr-b", "rousr-m"];
        let (first, second) = (debs(1, &all), debs(2, &all));
        let [first, second] =
            [&first, &second].map(|debs| debs.iter().map(String::as_str).collect::<Vec<&str>>());

        // dpkg-divert and update-alternatives are no transaction of apt's: who calls them opens /usr.
        succeed(&format!(
            "rousr exec -- sh -ec 'mkdir -p {FOLDER}; dpkg-divert --quiet --rename --add \
             --divert {FOLDER}/diverted.real {FOLDER}/diverted; rmdir --ignore-fail-on-non-empty {FOLDER}'"
        ));
        apt("install", &[&first[..], &["/run/rousr-d_1.deb"]].concat());
        succeed(&format!(
            "rousr exec -- update-alternatives --quiet --install /usr/bin/rousr-alternative \
             rousr-alternative {FOLDER}/plain 10"
        ));
        assert_sealed();
        let is_old = |file: &PathBuf| fs::read(file).is_ok_and(|content| content == b"version 1");
        assert!(listed().iter().all(is_old), "{:?}", listed());

        // What moves to another package and what disappears is in no list that apt tells of: who uses it tells.
        let unlisted = [file(b"moved"), file(b"disappearing")];
        let used: Vec<File> = unlisted
            .iter()
            .map(|file| File::open(file).expect("opened"))
            .collect();
        let user = File::open(file(b"plain")).expect("opened");
        let (old, in_use) = (inodes(&listed()), inodes(&unlisted));
        let plain = inodes(&[file(b"plain")]);

        apt("install", &second);
        assert_seen(&old, "upgrade");
        assert_seen(&in_use, "moved and disappeared");
        assert!(!listed().iter().any(is_old), "all is replaced");
        let state = shell("dpkg-query -W -f '${db:Status-Status}' rousr-d 2>/dev/null").output;
        assert!(matches!(&*state, "" | "not-installed"), "{state}");
        let kept: BTreeSet<u64> = in_use.union(&plain).copied().collect();
        assert_eq!(holds(), kept);
        let told = succeed("cat /usr/bin/rousr-alternative");
        assert_eq!(told, "version 2");
        drop(used);
        wait(SOON, "what nobody uses is reaped", || holds() == plain);
        drop(user);
        wait_for_reap();

        for (what, options, packages) in [
            ("downgrade", "install --allow-downgrades", &first),
            ("reinstallation", "install --reinstall", &first),
        ] {
            let before = inodes(&listed());
            apt(options, packages);
            assert_seen(&before, what);
            // All but a conffile that is the same again.
            let plain = inodes(&[file(b"plain")]);
            assert!(plain.is_disjoint(&before), "{what} replaces it");
            wait_for_reap();
        }

        let before = inodes(&listed());
        apt("remove", &all);
        assert_seen(&before, "removal");
        wait_for_reap();
        assert!(shell(&format!("ls {FOLDER}/plain")).status != 0);
        cleanup();
        assert_sealed();
    }
}
