//! apt's hooks where something is missing or wrong: apt goes on, and /usr is sealed.

mod root {
    use std::time::Duration;

    use rousr_tests::{
        SOON, assert_sealed, begin, holds, inode, is_guarded, is_sealed, shell, succeed, usr_flags,
        wait, wait_for_agent, wait_for_reap,
    };

    #[test]
    fn without_the_agent() {
        begin();
        succeed("systemctl stop rousr");
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        assert_sealed();
        let held = inode("/usr/share/rousr-demo/script.sh");
        succeed("systemctl start rousr-demo-script && sleep 1");
        succeed("apt-get -y -q remove rousr-demo");
        assert_sealed();
        assert!(holds().contains(&held), "{:?} lacks {held}", holds());
        wait(Duration::from_secs(60), "its guard ends", || !is_guarded());
        let text = succeed("rousr status");
        assert!(text.contains("systemctl start rousr"), "{text}");
        // Without an agent nobody reaps; a started one does.
        succeed("systemctl stop rousr-demo-script && systemctl start rousr");
        wait_for_reap();
    }

    #[test]
    fn a_malformed_stream_is_told_and_forgiven() {
        begin();
        succeed("rousr apt pre-invoke");
        assert_eq!(usr_flags().0, "rw");
        let finished = shell("printf 'VERSION 3\\n\\nnonsense\\n' | rousr apt pre-install-pkgs");
        assert_eq!(finished.status, 0, "{}", finished.output);
        assert!(finished.output.contains("line 3"), "{}", finished.output);
        succeed("rousr apt post-invoke");
        assert_sealed();
    }

    /// What every guide to a read-only /usr has.
    #[test]
    fn one_that_remounts_is_found() {
        begin();
        let file = "/etc/apt/apt.conf.d/99remount";
        succeed(&format!(
            "printf '// x\\nDPkg::Post-Invoke {{ \"mount -o remount,ro /usr || true\"; }};\\n' >{file}"
        ));
        let told = shell("rousr doctor");
        succeed(&format!("rm {file}"));
        assert_eq!(told.status, 1, "{}", told.output);
        assert!(
            told.output.contains(&format!("{file}:2")),
            "{}",
            told.output
        );
        let told = succeed("rousr doctor");
        assert!(told.contains("none remounts anything"), "{told}");
    }

    /// How often somebody wanted the journal of /usr on disk at once.
    fn commits_asked_for() -> u64 {
        let info = "/proc/fs/jbd2/$(basename $(findmnt -no SOURCE /usr))-*/info";
        let told = succeed(&format!("cat {info}"));
        let count = told.split(['(', ' ']).zip(told.split(['(', ' ']).skip(1));
        count
            .filter(|(_, word)| word.starts_with("requested"))
            .find_map(|(count, _)| count.parse().ok())
            .unwrap_or_else(|| panic!("no count of requests in {told}"))
    }

    #[test]
    fn what_dpkg_unpacked_is_on_disk_before_its_database_says_so() {
        begin();
        succeed("rousr apt pre-invoke && touch /usr/share/rousr-order");
        let before = commits_asked_for();
        let list = "/var/lib/dpkg/info/rousr-order.list";
        succeed(&format!("touch {list}"));
        assert_eq!(commits_asked_for(), before);
        succeed(&format!("touch {list}-new"));
        assert!(commits_asked_for() > before);
        succeed(&format!("rm {list} {list}-new /usr/share/rousr-order"));
        succeed("rousr apt post-invoke");
        assert_sealed();
        // Nobody is asked any more.
        wait(Duration::from_secs(60), "its thread has ended", || {
            shell("cat /proc/[0-9]*/task/*/comm 2>/dev/null | grep -qx write-order").status == 1
        });
        succeed(&format!("timeout 10 touch {list}-new && rm {list}-new"));
    }

    #[test]
    fn opting_out_leaves_everything_alone() {
        begin();
        for variable in ["ROUSR_SKIP=1", "NO_APT_REMOUNT=yes"] {
            let text = succeed(&format!("{variable} rousr apt pre-invoke"));
            assert!(text.contains(variable), "{text}");
            assert_sealed();
        }
    }

    /// The agent makes the mount of its own namespace writable, which is not the unit's.
    #[test]
    fn where_apt_has_a_usr_of_its_own() {
        begin();
        let in_unit = "systemd-run --quiet --wait --pipe --property PrivateTmp=yes";
        let apt = "apt-get -y -q install /run/share/rousr-demo_1.0_*.deb";
        let told = shell(&format!("{in_unit} sh -c '{apt}'"));
        assert_eq!(told.status, 100, "{}", told.output);
        for part in ["dpkg is not started", "a mount of its own"] {
            assert!(told.output.contains(part), "{part}: {}", told.output);
        }
        wait(SOON, "/usr is sealed", is_sealed);
        succeed(&format!(
            "{in_unit} sh -c 'mount -o remount,rw /usr && {apt}'"
        ));
        wait(SOON, "/usr is sealed", is_sealed);
        succeed("apt-get -y -q purge rousr-demo");
        assert_sealed();
    }

    #[test]
    fn disabled_it_does_nothing() {
        begin();
        let told = succeed("rousr disable");
        assert!(told.contains("rousr enable"), "{told}");
        assert_eq!(shell("systemctl is-active rousr").output.trim(), "inactive");
        assert_eq!(
            shell("systemctl is-enabled rousr").output.trim(),
            "disabled"
        );
        let told = succeed("rousr apt pre-invoke && rousr apt post-invoke");
        assert!(told.contains("disabled"), "{told}");
        assert_sealed();
        let doctor = shell("rousr doctor");
        assert!(doctor.output.contains("rousr enable"), "{}", doctor.output);
        succeed("rousr enable");
        wait_for_agent();
        assert_eq!(shell("systemctl is-enabled rousr").output.trim(), "enabled");
        succeed("rousr apt pre-invoke");
        assert_eq!(usr_flags().0, "rw");
        succeed("rousr apt post-invoke");
        assert_sealed();
    }

    #[test]
    fn arguments_that_are_wrong_exit_2() {
        begin();
        for line in ["rousr nonsense", "rousr apt", "rousr status --nonsense"] {
            assert_eq!(shell(line).status, 2, "{line}");
        }
        assert_eq!(shell("rousr --help").status, 0);
    }
}
