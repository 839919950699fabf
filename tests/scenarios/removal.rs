//! Packages that are removed while their programs run.

mod root {
    use std::time::Duration;

    use rousr_tests::{
        assert_sealed, begin, holds, inode, is_sealed, orphans, succeed, wait, wait_for_reap,
    };

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
        wait(
            Duration::from_secs(1),
            "the daemon's files are reaped",
            || holds().len() == 1 && is_sealed(),
        );
        assert_eq!(holds().first(), Some(&held[2]), "the script is still open");
        assert_sealed();

        succeed("systemctl stop rousr-demo-script");
        wait_for_reap();
    }
}
