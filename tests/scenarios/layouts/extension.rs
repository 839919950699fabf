//! systemd-sysext lays a read-only overlay over /usr, and takes it off again.

mod root {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use rousr_tests::{
        Background, agent_pid, assert_sealed, begin, holds, inode, is_sealed,
        package::{self, Packed},
        shell, status, succeed, wait,
    };

    const TABLE: &str = "/usr/share/rousr-kinds/table";
    /// The agent executes itself anew where another filesystem holds /usr, and loads its programs.
    const SECONDS: Duration = Duration::from_secs(60);

    fn build(version: &str) -> std::path::PathBuf {
        let table = Packed {
            name: "table".to_owned(),
            content: version.into(),
            mode: 0o644,
        };
        package::build(version, &[table])
    }

    #[test]
    fn what_is_merged_is_refused_until_it_is_taken_off() {
        begin();
        let [one, two, three] = ["1", "2", "3"].map(build);
        package::install(&one);
        let old = inode(TABLE);
        let user = Background::start(&format!("sh -c 'exec 9<{TABLE}; exec sleep 1000'"));
        wait(SECONDS, "it is in use", || {
            shell(&format!("readlink /proc/*/fd/9 | grep -qx {TABLE}")).status == 0
        });
        package::install(&two);
        assert!(holds().contains(&old));
        let agent = agent_pid();

        succeed("systemd-sysext merge");
        succeed("test -d /usr/share/rousr-extension");
        wait(SECONDS, "the overlay is noticed", || {
            status()["filesystem"] == "overlay"
        });
        let told = status();
        assert!(told["frozen"].as_str().is_some(), "{told:#}");
        let told = shell(&format!("apt-get -y -q install {}", three.display()));
        assert_eq!(told.status, 100, "{}", told.output);
        for part in ["dpkg is not started", "systemd-sysext unmerge"] {
            assert!(told.output.contains(part), "{part}: {}", told.output);
        }

        // The count goes on, and is there again with /usr.
        drop(user);
        succeed("systemd-sysext unmerge");
        let limit = Instant::now() + SECONDS;
        while !(holds().is_empty() && is_sealed()) {
            let log =
                "findmnt /usr; rousr status; journalctl -u rousr -o short-monotonic --no-pager";
            assert!(Instant::now() < limit, "{}", shell(log).output);
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(status()["filesystem"], "ext4");
        assert_eq!(agent_pid(), agent);
        package::install(&three);
        assert_sealed();
        succeed("apt-get -y -q purge rousr-kinds");
    }
}
