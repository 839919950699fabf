//! dpkg by itself: /usr is writable for it, what it replaces is kept, and /usr is sealed again.

mod root {
    use std::{
        fs::{self, File},
        path::PathBuf,
        time::Duration,
    };

    use rousr_tests::{
        Background, SOON, assert_sealed, begin, holds, inode, is_sealed,
        package::{self, FOLDER, Packed},
        shell, succeed, transactions, usr_flags, wait, wait_for_agent, wait_for_reap,
    };

    fn file() -> String {
        format!("{FOLDER}/data")
    }

    /// The package in two versions, the second with a script; under names that apt would not choose.
    fn packages(script: &str) -> [String; 2] {
        let packed = |content: &str| Packed {
            name: "data".into(),
            content: content.into(),
            mode: 0o644,
        };
        let old = package::build("1", &[packed("old")]);
        let new = package::build_with("2", &[packed("new")], script);
        let directory = "/run/some debs";
        fs::create_dir_all(directory).expect("a folder");
        [(old, "the old one.deb"), (new, "new.deb")].map(|(deb, name)| {
            fs::rename(deb, format!("{directory}/{name}")).expect("renamed");
            name.to_owned()
        })
    }

    fn dpkg(arguments: &str) -> String {
        succeed(&format!("cd '/run/some debs' && dpkg {arguments}"))
    }

    fn packages_of_the_last() -> serde_json::Value {
        transactions().last().expect("a transaction")["packages"].clone()
    }

    #[test]
    fn what_it_replaces_and_removes_is_kept() {
        begin();
        let [old, new] = packages("");
        let told = dpkg(&format!("-i '{old}'"));
        assert!(told.contains("rousr: /usr is read-only again"), "{told}");
        assert_sealed();
        let expected = serde_json::json!([{"name": "rousr-kinds", "newVersion": "1"}]);
        assert_eq!(packages_of_the_last(), expected);
        let first = inode(&file());
        let user = File::open(file()).expect("opened");
        dpkg(&format!("--install {new}"));
        assert_sealed();
        assert_eq!(holds().into_iter().collect::<Vec<_>>(), [first]);
        let expected =
            serde_json::json!([{"name": "rousr-kinds", "oldVersion": "1", "newVersion": "2"}]);
        assert_eq!(packages_of_the_last(), expected);
        drop(user);
        wait_for_reap();

        let second = inode(&file());
        let user = File::open(file()).expect("opened");
        dpkg("-P rousr-kinds");
        assert_sealed();
        assert_eq!(holds().into_iter().collect::<Vec<_>>(), [second]);
        let expected = serde_json::json!([{"name": "rousr-kinds", "oldVersion": "2"}]);
        assert_eq!(packages_of_the_last(), expected);
        drop(user);
        wait_for_reap();
    }

    #[test]
    fn without_the_agent_and_where_it_fails() {
        begin();
        let [old, new] = packages("exit 1");
        succeed("systemctl stop rousr");
        dpkg(&format!("-i '{old}'"));
        assert_sealed();
        let failed = shell(&format!("cd '/run/some debs' && dpkg -i {new}"));
        assert_eq!(failed.status, 1, "{}", failed.output);
        assert_sealed();
        succeed("systemctl start rousr && dpkg -P rousr-kinds");
        wait_for_agent();
        assert_sealed();
    }

    /// It has no last hook then, and nobody had its lock when it began.
    #[test]
    fn where_it_is_killed() {
        begin();
        let [old, new] = packages("touch /run/rousr-unpacked; sleep 1000");
        dpkg(&format!("-i '{old}'"));
        fs::remove_file("/run/rousr-unpacked").ok();
        let running = Background::start(&format!("dpkg -i '/run/some debs/{new}'"));
        wait(Duration::from_secs(60), "its script runs", || {
            fs::exists("/run/rousr-unpacked").expect("readable")
        });
        assert_eq!(usr_flags().0, "rw");
        succeed("pkill -KILL -x dpkg; pkill -KILL -f '[s]leep 1000'");
        wait(SOON, "/usr is sealed", is_sealed);
        drop(running);
        // What an administrator is told to do goes on by itself, too.
        let told = shell(
            "sed -i 's/sleep 1000/true/' /var/lib/dpkg/info/rousr-kinds.postinst; dpkg --configure -a",
        );
        assert_eq!(told.status, 0, "{}", told.output);
        assert_sealed();
        succeed("dpkg -P rousr-kinds");
    }

    #[test]
    fn another_system_is_none_of_its_business() {
        begin();
        let [old, _] = packages("");
        let before = transactions().len();
        let root = "/run/other-root";
        succeed(&format!(
            "mkdir -p {root}/var/lib/dpkg/info && : >{root}/var/lib/dpkg/status"
        ));
        let told = dpkg(&format!("--root={root} --force-not-root --unpack '{old}'"));
        assert!(!told.contains("rousr:"), "{told}");
        assert!(fs::exists(format!("{root}{}", file())).expect("readable"));
        assert_eq!(transactions().len(), before);
        succeed(&format!("rm -r {root}"));
        assert_sealed();
    }

    /// The second has begun, and waits for the lock that the first has: its end is not the second one's.
    #[test]
    fn where_two_follow_closely() {
        begin();
        let [old, _] = packages("");
        let script = "touch /run/rousr-unpacked; sleep 3";
        let other = build_other(script);
        fs::remove_file("/run/rousr-unpacked").ok();
        let first = Background::start(&format!("dpkg -i {}", other.display()));
        wait(Duration::from_secs(60), "its script runs", || {
            fs::exists("/run/rousr-unpacked").expect("readable")
        });
        // It has begun when this hook of its own runs, which lasts until the first is done.
        let gate = "while pgrep -f '[r]ousr-second.deb' >/dev/null; do sleep 0.1; done; sleep 2";
        dpkg(&format!("--pre-invoke=\"{gate}\" -i '{old}'"));
        drop(first);
        assert_sealed();
        assert_eq!(fs::read(file()).expect("it is installed"), b"old");
        succeed("dpkg -P rousr-kinds rousr-second");
    }

    /// A package without files.
    fn build_other(script: &str) -> PathBuf {
        let tree = "/run/rousr-second/DEBIAN";
        fs::create_dir_all(tree).expect("a folder");
        let control = "Package: rousr-second\nVersion: 1\nArchitecture: all\n\
             Maintainer: rousr developers <rousr@localhost>\nDescription: nothing\n";
        fs::write(format!("{tree}/control"), control).expect("written");
        fs::write(format!("{tree}/postinst"), format!("#!/bin/sh\n{script}\n")).expect("written");
        succeed(&format!(
            "chmod 755 {tree}/postinst && dpkg-deb --root-owner-group -Znone -b /run/rousr-second /run/rousr-second.deb"
        ));
        "/run/rousr-second.deb".into()
    }

    #[test]
    fn what_changes_nothing_opens_nothing() {
        begin();
        let [old, _] = packages("");
        let before = transactions().len();
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        for line in [
            format!("dpkg --simulate -i '/run/some debs/{old}'"),
            format!("{nobody} dpkg --dry-run -i '/run/some debs/{old}'"),
            "dpkg --add-architecture i386 && dpkg --remove-architecture i386".into(),
        ] {
            let told = succeed(&line);
            assert!(!told.contains("rousr:"), "{told}");
        }
        assert_eq!(transactions().len(), before);
        assert_sealed();
    }

    #[test]
    fn where_it_is_not_wanted() {
        begin();
        let [old, _] = packages("");
        for variable in ["ROUSR_SKIP=1", "NO_APT_REMOUNT=yes"] {
            let told = shell(&format!(
                "cd '/run/some debs' && {variable} dpkg -i '{old}'"
            ));
            assert_ne!(told.status, 0, "{}", told.output);
            assert!(told.output.contains("are left alone"), "{}", told.output);
            assert_sealed();
        }
        // As the package is half installed.
        dpkg(&format!("-i '{old}'"));
        succeed("dpkg -P rousr-kinds");
    }

    /// apt's hooks know more: dpkg's own have nothing to do.
    #[test]
    fn under_apt_there_is_one_transaction() {
        begin();
        let before = transactions().len();
        let told = succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        assert_eq!(told.matches("rousr:").count(), 1, "{told}");
        let all = transactions();
        assert_eq!(all.len(), before + 1);
        let last = all.last().expect("a transaction");
        assert_eq!(
            last["packages"].as_array().map(Vec::len),
            Some(1),
            "{last:#}"
        );
        succeed("apt-get -y -q purge rousr-demo");
    }
}
