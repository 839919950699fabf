//! The agent itself: idle, doubled, restarted, without BPF.

mod root {
    use std::{fs, thread, time::Duration};

    use rousr_tests::{
        assert_sealed, begin, holds, inode, shell, status, succeed, wait, wait_for_reap,
    };

    fn agent_pid() -> String {
        succeed("systemctl show -P MainPID rousr").trim().to_owned()
    }

    #[test]
    fn an_idle_agent_does_not_wake_up() {
        begin();
        let pid = agent_pid();
        let switches = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent");
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        thread::sleep(Duration::from_secs(2));
        let before = switches();
        thread::sleep(Duration::from_secs(60));
        assert_eq!(switches(), before);
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
        wait(Duration::from_secs(30), "the agent is back", || {
            shell("systemctl is-active --quiet rousr").status == 0
        });
        assert!(holds().contains(&held));
        assert_sealed();
        succeed("systemctl stop rousr-demo-script");
        wait_for_reap();
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
