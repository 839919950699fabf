//! What a crash left.

mod root {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
        time::Duration,
    };

    use rousr_tests::{HOLDS, assert_sealed, holds, shell, succeed, usr_flags, wait_for_agent};

    /// A property of a unit, in microseconds since the boot.
    fn moment(unit: &str, property: &str) -> u64 {
        let shown = succeed(&format!("systemctl show -P {property} {unit}"));
        shown.trim().parse().expect("a number")
    }

    /// Everything was put right by rousr-settle.service, before other services.
    fn assert_settled_early() {
        assert_sealed();
        assert_eq!(holds(), [].into());
        let left = fs::read_dir(HOLDS).expect("is there").count();
        assert_eq!(left, 0, "nothing else is left, either");
        let settled = moment("rousr-settle", "ExecMainExitTimestampMonotonic");
        assert!(
            settled > 0,
            "{}",
            shell("systemctl status rousr-settle").output
        );
        for unit in ["sysinit.target", "basic.target", "dbus.service"] {
            let began = moment(unit, "InactiveExitTimestampMonotonic");
            assert!(began == 0 || settled <= began, "{unit}: {settled} {began}");
        }
        for (path, links) in [("/usr/bin/true", 1), ("/usr/bin/false", 1)] {
            let found = fs::symlink_metadata(path).expect(path);
            assert!(found.is_file(), "{path}");
            assert_eq!(found.nlink(), links, "{path}");
        }
        let secret = fs::metadata(HOLDS).expect("is there").permissions();
        assert_eq!(secret.mode() & 0o777, 0o700);
    }

    fn log() -> String {
        succeed("journalctl -b -u rousr-settle --no-pager -o cat")
    }

    #[test]
    fn after_a_crash_in_an_upgrade() {
        wait_for_agent();
        assert_settled_early();
        let log = log();
        for part in ["/var/lib/rousr/ledger:1", "written anew"] {
            assert!(log.contains(part), "{part}: {log}");
        }
        succeed("grep -q garbage /var/lib/rousr/ledger.damaged-*");
        let told = succeed("rousr status");
        assert!(!told.contains("damaged"), "{told}");
        let agent = succeed("journalctl -b -u rousr --no-pager -o cat");
        assert!(!agent.contains("ledger"), "told once: {agent}");
        assert!(
            moment("rousr", "ExecMainStartTimestampMonotonic")
                >= moment("rousr-settle", "ExecMainExitTimestampMonotonic")
        );
        // What is left for the administrator.
        assert!(succeed("dpkg --audit").contains("debsums"));
        succeed("rousr exec dpkg --configure -a");
        assert_eq!(succeed("dpkg --audit"), "");
        assert_sealed();
    }

    #[test]
    fn where_the_agent_cannot_start() {
        assert_settled_early();
        assert_ne!(shell("systemctl is-active rousr").output.trim(), "active");
        // Tried again and again all the same.
        std::thread::sleep(Duration::from_secs(2));
        let restarts = succeed("systemctl show -P NRestarts rousr");
        assert!(restarts.trim().parse::<u32>().expect("a number") > 0);
    }

    #[test]
    fn where_rousr_is_disabled() {
        assert_eq!(usr_flags(), ("rw".to_owned(), "rw".to_owned()));
        assert_eq!(holds().len(), 1);
        let condition = succeed("systemctl show -P ConditionResult rousr-settle");
        assert_eq!(condition.trim(), "no");
    }
}
