//! The agent itself: idle, doubled, restarted, without BPF.

mod root {
    use std::time::Duration;

    use rousr_tests::{
        agent_pid, assert_idle, assert_sealed, begin, holds, inode, shell, status, succeed,
        wait_for_agent, wait_for_reap,
    };

    #[test]
    fn an_idle_agent_does_not_wake_up() {
        begin();
        assert_idle(Duration::from_secs(2), Duration::from_secs(60));
    }

    #[test]
    fn a_second_agent_is_refused() {
        begin();
        let second = shell("rousr agent");
        assert_eq!(second.status, 1, "{}", second.output);
        assert!(second.output.contains(&agent_pid()), "{}", second.output);
        assert!(second.output.contains("another agent"), "{}", second.output);
        assert_eq!(status()["agent"]["pid"].to_string(), agent_pid());
    }

    #[test]
    fn a_restarted_agent_takes_over_the_holds() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        let held = inode("/usr/share/rousr-demo/script.sh");
        succeed("systemctl start rousr-demo-script && sleep 1");
        succeed("apt-get -y -q purge rousr-demo");
        assert!(holds().contains(&held));
        succeed("systemctl kill -s KILL rousr && sleep 1");
        wait_for_agent();
        assert!(holds().contains(&held));
        assert_sealed();
        succeed("systemctl stop rousr-demo-script");
        wait_for_reap();
    }

    #[test]
    fn an_agent_that_is_killed_again_and_again_comes_back() {
        begin();
        // More often than systemd starts a unit by default, five times in ten seconds.
        for _ in 0..7 {
            succeed("systemctl kill -s KILL rousr && sleep 1");
            wait_for_agent();
        }
        assert_sealed();
        succeed("systemctl restart rousr");
        wait_for_agent();
    }

    #[test]
    fn a_damaged_ledger_costs_names_only() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        let held = inode("/usr/share/rousr-demo/script.sh");
        succeed("systemctl start rousr-demo-script && sleep 1");
        succeed("apt-get -y -q purge rousr-demo");
        succeed("printf 'garbage\\n{\"half\":' > /var/lib/rousr/ledger");
        let text = succeed("rousr status");
        assert!(text.contains("/var/lib/rousr/ledger:1"), "{text}");
        assert!(holds().contains(&held));
        succeed("systemctl stop rousr-demo-script");
        wait_for_reap();
        succeed("rm /var/lib/rousr/ledger");
    }
}
