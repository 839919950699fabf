//! An agent to which BPF is refused: fanotify tells it of closes.

mod root {
    use std::{fs, time::Duration};

    use rousr_tests::{
        SOON, assert_idle, assert_sealed, begin, holds, inode, shell, status, succeed, wait,
        wait_for_agent, wait_for_reap,
    };

    const DROP_IN: &str = "/run/systemd/system/rousr.service.d/no-bpf.conf";

    /// As lockdown, a container or an old kernel would. Ends with the test.
    struct WithoutBpf;

    impl WithoutBpf {
        fn begin() -> Self {
            begin();
            fs::create_dir_all("/run/systemd/system/rousr.service.d").expect("makes the folder");
            let filter = "[Service]\nSystemCallFilter=~bpf\nSystemCallErrorNumber=EPERM\n";
            fs::write(DROP_IN, filter).expect("writes the drop-in");
            succeed("systemctl daemon-reload && systemctl restart rousr");
            assert_eq!(status()["agent"]["tracker"], "fanotify");
            Self
        }
    }

    impl Drop for WithoutBpf {
        fn drop(&mut self) {
            let _ = fs::remove_file(DROP_IN);
            shell("systemctl daemon-reload; systemctl restart rousr");
        }
    }

    #[test]
    fn holds_go_with_their_last_users() {
        let _without_bpf = WithoutBpf::begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        let held = inode("/usr/share/rousr-demo/script.sh");
        succeed("systemctl start rousr-demo rousr-demo-script && sleep 1");
        succeed("apt-get -y -q install /run/share/rousr-demo_2.0_*.deb");
        assert_sealed();
        assert!(holds().contains(&held), "{:?}", holds());
        let agent = &status()["agent"];
        assert_eq!(agent["attached"], true, "{agent}");
        assert_eq!(agent["watched"], holds().len(), "{agent}");

        succeed("systemctl stop rousr-demo-script");
        wait(SOON, "its script is not held", || !holds().contains(&held));
        succeed("systemctl stop rousr-demo");
        wait_for_reap();
        assert_eq!(status()["agent"]["attached"], false);
    }

    #[test]
    fn a_killed_agent_loses_no_close() {
        let _without_bpf = WithoutBpf::begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        succeed("systemctl start rousr-demo-script && sleep 1");
        succeed("apt-get -y -q purge rousr-demo");
        assert!(!holds().is_empty());
        // Its marks end with it, and what is closed before the next one starts nobody tells.
        succeed("systemctl kill -s KILL rousr && systemctl stop rousr-demo-script");
        wait_for_agent();
        wait_for_reap();
    }

    #[test]
    fn an_idle_agent_does_not_wake_up() {
        let _without_bpf = WithoutBpf::begin();
        assert_idle(Duration::from_secs(4), Duration::from_secs(10));
    }

    #[test]
    fn doctor_says_that_more_is_possible() {
        begin();
        let well = shell("rousr doctor");
        assert_eq!(well.status, 0, "{}", well.output);
        assert!(
            well.output.contains("tracker: bpf, hooks: LSM"),
            "{}",
            well.output
        );

        let _without_bpf = WithoutBpf::begin();
        let doctor = shell("rousr doctor");
        assert_eq!(doctor.status, 1, "{}", doctor.output);
        let agent = doctor.output.lines().find(|line| line.contains("agent"));
        let agent = agent.unwrap_or_else(|| panic!("{}", doctor.output));
        assert!(
            agent.contains("tracker fanotify") && agent.contains("could have bpf"),
            "{agent}"
        );
    }
}
