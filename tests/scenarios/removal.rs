//! Packages that are removed while their programs run.

mod root {
    use std::time::Duration;

    use rousr_tests::{
        Background, SOON, assert_sealed, begin, holds, inode, is_sealed, orphans,
        package::{self, FOLDER, Packed},
        shell, succeed, wait, wait_for_reap,
    };

    #[test]
    fn a_directory_that_an_upgrade_drops_blocks_nothing_for_a_file_in_it() {
        begin();
        let file = |name: &str, version: &str| Packed {
            name: name.to_owned(),
            content: version.into(),
            mode: 0o644,
        };
        let old = package::build("1", &[file("stays", "1"), file("goes/inner/file", "1")]);
        let new = package::build("2", &[file("stays", "2")]);
        package::install(&old);
        let held = [
            inode(&format!("{FOLDER}/stays")),
            inode(&format!("{FOLDER}/goes/inner/file")),
        ];
        let users = ["stays", "goes/inner/file"]
            .map(|name| Background::start(&format!("sleep 1000 <{FOLDER}/{name}")));
        wait(Duration::from_secs(60), "both are open", || {
            shell(&format!("readlink /proc/*/fd/0 | grep -c ^{FOLDER}/")).output == "2\n"
        });
        package::install(&new);
        assert!(
            shell(&format!("test -e {FOLDER}/goes")).status != 0,
            "it is dropped"
        );
        assert_sealed();
        for inode in held {
            assert!(holds().contains(&inode), "{:?} lacks {inode}", holds());
        }
        drop(users);
        wait_for_reap();
        succeed("apt-get -y -q purge rousr-kinds");
    }

    #[test]
    fn a_removed_daemon_blocks_nothing() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        assert_sealed();
        let held = [
            inode("/usr/sbin/rousr-demo-daemon"),
            inode("/usr/share/rousr-demo/table.dat"),
            inode("/usr/share/rousr-demo/script.sh"),
            inode("/usr/lib/x86_64-linux-gnu/librousr-demo.so.1"),
        ];
        succeed("systemctl start rousr-demo rousr-demo-script && sleep 1");

        succeed("apt-get -y -q remove rousr-demo");
        assert_sealed();
        assert_eq!(orphans(), [] as [std::path::PathBuf; 0]);
        for inode in &held {
            assert!(holds().contains(inode), "{:?} lacks {inode}", holds());
        }

        succeed("systemctl stop rousr-demo");
        wait(SOON, "the daemon's files are reaped", || {
            holds().len() == 1 && is_sealed()
        });
        assert_eq!(holds().first(), Some(&held[2]), "the script is still open");
        assert_sealed();

        succeed("systemctl stop rousr-demo-script");
        wait_for_reap();
    }
}
