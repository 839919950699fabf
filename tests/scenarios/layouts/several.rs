//! Filesystems of their own below /usr: each is sealed and has its own holds.

mod root {
    use std::time::Duration;

    use rousr_tests::{
        flags_of, holds_of, inode, metric, package, shell, status, succeed, wait, wait_for_agent,
    };

    use crate::layouts::story;

    const SHARE: &str = "/usr/share";
    const LOCAL: &str = "/usr/local";
    const SECONDS: Duration = Duration::from_secs(60);

    fn is_sealed(mount_point: &str) -> bool {
        flags_of(mount_point) == Some(("ro".into(), "ro".into()))
    }

    /// As `rousr status` tells it.
    fn others() -> Vec<String> {
        let told = status();
        let others = told["beside"].as_array().expect("others").iter();
        let mount_point =
            |other: &serde_json::Value| Some(other["mountPoint"].as_str()?.to_owned());
        others.filter_map(mount_point).collect()
    }

    #[test]
    fn each_keeps_its_own_replaced_files() {
        story::sealed_beside(SHARE);
        assert_eq!(others(), [LOCAL, SHARE]);
        for mount_point in [LOCAL, SHARE] {
            let labels = format!("{{mount_point=\"{mount_point}\"}}");
            assert_eq!(metric(&format!("rousr_beside_seal_level{labels}")), 2.0);
            assert_eq!(metric(&format!("rousr_beside_holds{labels}")), 0.0);
        }
    }

    #[test]
    fn without_the_agent_too() {
        wait_for_agent();
        let [one, two] = ["1", "2"].map(story::build);
        package::install(&one);
        succeed("systemctl stop rousr");
        let old = inode(story::FILES[0]);
        let users = story::use_them();
        package::install(&two);
        for mount_point in ["/usr", SHARE, LOCAL] {
            assert!(is_sealed(mount_point), "{mount_point}");
        }
        assert!(holds_of(SHARE).contains(&old));
        let told = succeed("rousr status");
        assert!(told.contains("\n/usr/share (ext4 on "), "{told}");
        succeed("systemctl start rousr");
        drop(users);
        wait(SECONDS, "nothing is held", || {
            holds_of(SHARE).is_empty() && is_sealed(SHARE)
        });
        succeed("apt-get -y -q purge rousr-kinds");
    }

    #[test]
    fn what_blocks_one_of_them_is_told_and_restarted() {
        wait_for_agent();
        succeed(
            "rousr exec mkdir /usr/share/left && \
             systemd-run -q --unit=left --working-directory=/usr/share/left sleep 1000000 && \
             rousr exec rmdir /usr/share/left",
        );
        assert_eq!(flags_of(SHARE), Some(("ro".into(), "rw".into())));
        let told = shell("rousr blockers");
        assert_eq!(told.status, 1, "{}", told.output);
        for part in [
            "/usr is sealed",
            "/usr/share is mount-sealed",
            "left.service",
        ] {
            assert!(told.output.contains(part), "{part}: {}", told.output);
        }
        let json: serde_json::Value =
            serde_json::from_str(&shell("rousr blockers --json").output).expect("JSON");
        assert_eq!(
            json["beside"][1]["blockers"][0]["kind"], "orphan-directory",
            "{json}"
        );
        shell("rousr restart --yes");
        wait(SECONDS, "it is sealed", || is_sealed(SHARE));
        succeed("rousr blockers && systemctl stop left");
    }

    #[test]
    fn mounts_that_come_and_go_are_noticed() {
        wait_for_agent();
        succeed("umount /usr/local");
        wait(SECONDS, "it is gone", || others() == [SHARE]);
        succeed("rousr exec true");
        // fstab says how it is to be; mount(8) would set up a loop device that nobody can write to.
        succeed("mount -o rw,loop /var/local.img /usr/local");
        wait(SECONDS, "it is there again, read-only", || {
            others() == [LOCAL, SHARE] && is_sealed(LOCAL)
        });
        succeed("rousr exec touch /usr/local/x");
        assert!(is_sealed(LOCAL));
    }
}
