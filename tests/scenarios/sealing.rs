//! /usr is sealed by itself: after a transaction that nobody ended, and once what blocked is gone.

mod root {
    use std::{thread, time::Duration};

    use rousr_tests::{
        Background, SOON, assert_sealed, begin, holds, is_guarded, is_sealed, metric, package,
        shell, succeed, untold, usr_flags, wait, wait_for_agent, wait_for_reap,
    };

    /// Ends with the test: apt at work on a writable /usr, in a hook that does not end.
    fn apt_in_a_hook() -> Background {
        let deb = package::build("1", &[]);
        let apt = Background::start(&format!(
            "apt-get -y -q -o DPkg::Pre-Invoke::='exec sleep 1000' install {} >/dev/null",
            deb.display()
        ));
        wait(Duration::from_secs(60), "apt is in the hook", || {
            shell("pgrep -x sleep").status == 0 && usr_flags() == ("rw".into(), "rw".into())
        });
        apt
    }

    /// Ends with the test: a command that has /usr writable, and does not end.
    fn command_that_stays() -> Background {
        let running = Background::start("rousr exec sleep 1000");
        wait(Duration::from_secs(60), "the command runs", || {
            shell("pgrep -x sleep").status == 0
        });
        assert_eq!(usr_flags().0, "rw");
        running
    }

    /// Ends with the test: a process in a directory.
    fn process_in(folder: &str) -> Background {
        let inside = Background::start(&format!("env -C {folder} sleep 1000"));
        wait(Duration::from_secs(60), "the directory is in use", || {
            shell(&format!("readlink /proc/*/cwd | grep -qx {folder}")).status == 0
        });
        inside
    }

    fn assert_mount_sealed() {
        assert_eq!(usr_flags(), ("ro".to_owned(), "rw".to_owned()));
    }

    fn kill_apt() {
        succeed("pkill -KILL -x apt-get; pkill -x sleep");
    }

    /// What led to the seal that came last, by the agent's log.
    fn sealed_after() -> String {
        let log = succeed("journalctl --sync; journalctl -u rousr --no-pager -o cat");
        let line = log
            .lines()
            .rfind(|line| line.contains("nothing is in the way any more"));
        let line = line.expect("the agent tells of a seal");
        line.split("after=")
            .nth(1)
            .expect("it says after what")
            .to_owned()
    }

    /// Ends with the test: what has a file of /usr open that is removed then, without a hold.
    fn orphan(open: &str) -> Background {
        let file = untold("rousr-orphan");
        succeed(&format!("echo > {file}"));
        let user = Background::start(&format!("sh -c 'exec 9{open}{file}; exec sleep 1000'"));
        wait(Duration::from_secs(60), "it is open", || {
            shell(&format!("readlink /proc/*/fd/9 | grep -qx {file}")).status == 0
        });
        succeed(&format!("rm {file}"));
        user
    }

    #[test]
    fn by_the_last_close_of_a_removed_file() {
        begin();
        assert_eq!(metric("rousr_tracker_attached"), 0.0, "nothing is pending");
        succeed("rousr unseal");
        let users = [orphan("<"), orphan("<")];
        assert_eq!(shell("rousr seal").status, 1);
        assert_mount_sealed();
        assert_eq!(metric("rousr_tracker_attached"), 1.0);
        // The timer's next look is seven seconds and a half after the first.
        thread::sleep(Duration::from_secs(4));
        for user in users {
            assert_mount_sealed();
            drop(user);
            thread::sleep(Duration::from_millis(200));
        }
        wait(SOON, "/usr is sealed", is_sealed);
        assert_eq!(sealed_after(), "\"release\"");
        assert_eq!(metric("rousr_tracker_attached"), 0.0, "nothing is pending");
    }

    #[test]
    fn by_the_last_close_of_a_writer() {
        begin();
        succeed("rousr unseal");
        let writer = orphan(">");
        assert_eq!(shell("rousr seal").status, 1);
        assert_eq!(usr_flags(), ("rw".to_owned(), "rw".to_owned()));
        thread::sleep(Duration::from_secs(4));
        drop(writer);
        wait(SOON, "/usr is sealed", is_sealed);
        assert_eq!(sealed_after(), "\"release\"");
    }

    #[test]
    fn where_apt_is_killed() {
        begin();
        let apt = apt_in_a_hook();
        // The lock is held: the agent waits.
        thread::sleep(Duration::from_secs(2));
        assert_eq!(usr_flags().0, "rw");
        kill_apt();
        wait(SOON, "/usr is sealed", is_sealed);
        drop(apt);
        let log = succeed("journalctl -u rousr --no-pager -o cat");
        assert!(log.contains("ended without telling so"), "{log}");
    }

    #[test]
    fn where_apt_is_killed_after_the_agent_has_been() {
        begin();
        let apt = apt_in_a_hook();
        succeed("systemctl kill -s KILL rousr && sleep 1");
        wait_for_agent();
        assert_eq!(usr_flags().0, "rw", "the transaction is still open");
        kill_apt();
        wait(SOON, "/usr is sealed", is_sealed);
        drop(apt);
    }

    #[test]
    fn once_nobody_is_in_a_removed_directory() {
        begin();
        let deb = package::build("1", &[]);
        package::install(&deb);
        // An upgrade that drops the directory of somebody: nothing of it is held.
        let inside = process_in(package::FOLDER);
        succeed("rousr apt pre-invoke");
        succeed(&format!("rmdir {}", package::FOLDER));
        succeed("rousr apt post-invoke");
        assert_mount_sealed();
        thread::sleep(Duration::from_secs(3));
        assert_mount_sealed();

        let told = shell("rousr blockers");
        assert_eq!(told.status, 1, "{}", told.output);
        for part in [package::FOLDER, "removed directory", "sleep", "next: "] {
            assert!(told.output.contains(part), "{part}: {}", told.output);
        }
        let told = shell("rousr blockers --json");
        let told: serde_json::Value = serde_json::from_str(&told.output).expect("JSON");
        assert_eq!(told["blockers"][0]["kind"], "orphan-directory", "{told}");
        assert_eq!(told["blockers"][0]["holders"][0]["comm"], "sleep");
        assert_eq!(told["level"], "mount-sealed");

        drop(inside);
        wait(SOON, "/usr is sealed", is_sealed);
        assert_eq!(
            sealed_after(),
            "\"timer\"",
            "a working directory goes silently"
        );
        let told = shell("rousr blockers");
        assert_eq!(told.status, 0, "{}", told.output);
        assert!(told.output.contains("nothing blocks"), "{}", told.output);
        succeed("apt-get -y -q purge rousr-kinds");
    }

    #[test]
    fn once_nobody_writes() {
        begin();
        succeed("rousr apt pre-invoke");
        let writer = Background::start("sh -c 'exec 9>/usr/share/rousr-writer; exec sleep 1000'");
        wait(Duration::from_secs(60), "it writes", || {
            shell("test -e /usr/share/rousr-writer").status == 0
        });
        let told = succeed("rousr apt post-invoke");
        assert!(told.contains("fuser -vm /usr"), "{told}");
        assert_eq!(usr_flags(), ("rw".to_owned(), "rw".to_owned()));
        drop(writer);
        wait(SOON, "/usr is sealed", is_sealed);
        succeed("rousr apt pre-invoke && rm /usr/share/rousr-writer && rousr apt post-invoke");
        assert_sealed();
    }

    #[test]
    fn at_the_administrators_word() {
        begin();
        let told = succeed("rousr unseal");
        assert!(told.contains("until `rousr seal`"), "{told}");
        succeed("touch /usr/share/rousr-writer && rousr status | grep 'open for `rousr unseal`'");
        // A transaction meanwhile ends, and nothing else does.
        let deb = package::build("1", &[]);
        let told = package::install(&deb);
        assert!(told.contains("stays writable for `rousr unseal`"), "{told}");
        succeed("systemctl kill -s KILL rousr && sleep 1");
        wait_for_agent();
        succeed("rm /usr/share/rousr-writer");
        succeed("rousr seal");
        assert_sealed();

        succeed("rousr unseal --for 3s && touch /usr/share/rousr-writer");
        wait(SOON, "/usr is sealed", is_sealed);
        assert_eq!(shell("rousr unseal --for 3").status, 2);
    }

    #[test]
    fn when_a_command_ends() {
        begin();
        for (command, status) in [
            ("rm -f /usr/share/rousr-writer", 0),
            ("false", 1),
            ("sh -c 'exit 7'", 7),
            ("sh -c 'kill -TERM $$'", 143),
            ("/usr/share", 126),
            ("nonsense", 127),
        ] {
            let finished = shell(&format!("rousr exec -- {command}"));
            assert_eq!(finished.status, status, "{command}: {}", finished.output);
            assert_sealed();
        }
        // What it replaces while it is in use is held, and blocks nothing.
        succeed("rousr exec cp /usr/bin/sleep /usr/share/rousr-sleep");
        let user = Background::start("/usr/share/rousr-sleep 1000");
        wait(Duration::from_secs(60), "it runs", || {
            shell("pgrep -x rousr-sleep").status == 0
        });
        succeed("rousr exec rm /usr/share/rousr-sleep");
        assert_sealed();
        drop(user);
        wait_for_reap();
    }

    #[test]
    fn when_the_agent_has_ended() {
        begin();
        succeed("systemctl stop rousr");
        let running = command_that_stays();
        succeed("rousr agent --settle");
        assert_eq!(usr_flags().0, "rw", "somebody has it open");
        succeed("pkill -KILL -f '^rousr exec'; pkill -x sleep");
        drop(running);
        wait(SOON, "the guard has sealed it", is_sealed);
        wait(SOON, "it has ended", || !is_guarded());
    }

    #[test]
    fn when_what_ran_a_command_is_killed() {
        begin();
        for signal in ["TERM", "KILL"] {
            let running = command_that_stays();
            succeed(&format!("pkill -{signal} -f '^rousr exec'"));
            wait(SOON, "/usr is sealed", is_sealed);
            shell("pkill -x sleep");
            drop(running);
        }
    }

    #[test]
    fn in_mount_namespaces_of_units() {
        begin();
        let gone = "/usr/share/rousr-gone";
        succeed(&format!("rousr unseal && mkdir {gone}"));
        succeed("systemd-run -q --unit rousr-private -p PrivateTmp=yes sleep 1000");
        let pid = succeed("systemctl show -P MainPID rousr-private");
        let write = format!("nsenter -t {} -m touch /usr/share/rousr-writer", pid.trim());
        succeed(&write);
        // The superblock has to stay writable.
        let inside = process_in(gone);
        succeed(&format!("rmdir {gone}"));
        let sealed = shell("rousr seal");
        assert_eq!(sealed.status, 1, "{}", sealed.output);
        assert_mount_sealed();
        let refused = shell(&write);
        assert!(
            refused.output.contains("Read-only file system"),
            "{}",
            refused.output
        );
        drop(inside);
        wait(SOON, "/usr is sealed", is_sealed);
        succeed("systemctl stop rousr-private");
        succeed("rousr exec rm /usr/share/rousr-writer");
        assert_sealed();
    }

    #[test]
    fn by_restarts() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        succeed("systemctl start rousr-demo && sleep 1");
        succeed("apt-get -y -q install /run/share/rousr-demo_2.0_*.deb");
        assert!(!holds().is_empty());
        let restart = "systemctl restart rousr-demo.service";
        let told = shell("rousr restart --dry-run");
        assert_eq!(told.status, 1, "{}", told.output);
        assert!(told.output.contains(restart), "{}", told.output);
        assert_eq!(shell("rousr restart").status, 1, "nobody can be asked");
        assert!(!holds().is_empty());

        succeed("mkdir -p /etc/rousr && echo 'rousr-*' > /etc/rousr/never-restart");
        let told = shell("rousr restart --yes");
        assert_eq!(told.status, 1, "{}", told.output);
        assert!(told.output.contains("left to you"), "{}", told.output);
        succeed("rm /etc/rousr/never-restart");

        // systemctl may warn of a unit file that has changed.
        let told = succeed("rousr restart --yes --json 2>/dev/null");
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["restarts"][0]["command"], restart, "{told}");
        assert_eq!(told["restarts"][0]["succeeded"], true, "{told}");
        wait_for_reap();
        assert!(succeed("rousr restart").contains("nothing uses replaced files"));
    }
}
