//! However a transaction ends, /usr is sealed when it is over, and not before.

mod root {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use rousr_tests::{
        Background, SOON, assert_sealed, begin,
        gate::{self, GATE},
        is_guarded, is_sealed, package, shell,
        snippet::Snippet,
        succeed, usr_flags, wait, wait_for_agent,
    };

    /// Long enough for the agent to look.
    const MOMENT: Duration = Duration::from_millis(1500);

    fn install(deb: &str) -> String {
        format!("apt-get -y -q install --reinstall {deb}")
    }

    /// apt at work.
    fn apt(deb: &str) -> Background {
        Background::start(&format!("{} >/dev/null 2>&1", install(deb)))
    }

    /// A package of one directory.
    fn plain() -> String {
        package::build("1", &[]).display().to_string()
    }

    /// The same, with a script that dpkg runs at the end.
    fn with_script(script: &str) -> String {
        let deb = "/run/rousr-script.deb";
        fs::write("/run/rousr-postinst", format!("#!/bin/sh\n{script}\n")).expect("written");
        succeed(&format!(
            "rm -rf /run/rousr-tree && dpkg-deb -R {} /run/rousr-tree && \
             install -m 755 /run/rousr-postinst /run/rousr-tree/DEBIAN/postinst && \
             dpkg-deb --root-owner-group -Znone -b /run/rousr-tree {deb}",
            plain()
        ));
        deb.to_owned()
    }

    fn purge() {
        succeed("rousr exec -- dpkg --purge --force-remove-reinstreq rousr-kinds");
        assert_sealed();
    }

    #[track_caller]
    fn assert_stays_open() {
        let end = Instant::now() + MOMENT;
        while Instant::now() < end {
            assert_eq!(usr_flags(), ("rw".to_owned(), "rw".to_owned()));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One before ours opens nothing; after any other nobody calls our last one.
    #[test]
    fn where_a_hook_of_others_fails() {
        begin();
        let deb = plain();
        for (file, kind, is_done) in [
            ("00other", "Pre-Invoke", false),
            ("50other", "Pre-Invoke", false),
            ("50other", "Pre-Install-Pkgs", false),
            ("50other", "Post-Invoke", true),
            ("zzz-other", "Post-Invoke", true),
        ] {
            let snippet = Snippet::new(file, &format!("DPkg::{kind} {{ \"false\"; }};"));
            let finished = shell(&install(&deb));
            assert_ne!(finished.status, 0, "{file} {kind}: {}", finished.output);
            wait(SOON, &format!("sealed after {file} {kind}"), is_sealed);
            drop(snippet);
            let is_there = fs::exists(package::FOLDER).expect("readable");
            assert_eq!(is_there, is_done, "{file} {kind}: {}", finished.output);
        }
        purge();
    }

    #[test]
    fn where_dpkg_fails() {
        begin();
        let deb = with_script("exit 1");
        let finished = shell(&install(&deb));
        assert_eq!(finished.status, 100, "{}", finished.output);
        assert_sealed();
        purge();
    }

    /// In each hook, and while dpkg runs, which goes on without apt.
    #[test]
    fn where_apt_is_killed_at_any_stage() {
        begin();
        for stage in ["Pre-Install-Pkgs", "Post-Invoke"] {
            let deb = plain();
            let snippet = Snippet::new("50other", &format!("DPkg::{stage} {{ \"{GATE}\"; }};"));
            gate::close();
            let apt = apt(&deb);
            gate::wait_at();
            assert_eq!(usr_flags().0, "rw", "{stage}");
            succeed("pkill -KILL -x apt-get");
            wait(SOON, &format!("sealed after {stage}"), is_sealed);
            gate::open();
            drop((apt, snippet));
        }

        let deb = with_script(&format!("{GATE}; touch {}/late", package::FOLDER));
        gate::close();
        let apt = apt(&deb);
        gate::wait_at();
        succeed("pkill -KILL -x apt-get");
        assert_stays_open();
        gate::open();
        wait(SOON, "sealed after dpkg", is_sealed);
        drop(apt);
        assert!(fs::exists(format!("{}/late", package::FOLDER)).expect("readable"));
        succeed(&format!("rousr exec rm {}/late", package::FOLDER));
        purge();
    }

    /// It may take days, by the clock of whoever wrote it down, and the agent may be another one.
    #[test]
    fn not_before_it_is_over() {
        begin();
        let deb = plain();
        let snippet = Snippet::new("50other", &format!("DPkg::Pre-Invoke {{ \"{GATE}\"; }};"));
        gate::close();
        let apt = apt(&deb);
        gate::wait_at();
        succeed("grep -q '\"began\":' /run/rousr/open");
        succeed("sed -i 's/\"began\":[0-9]*/\"began\":1/' /run/rousr/open");
        assert_stays_open();
        succeed("systemctl kill -s KILL rousr && sleep 1");
        wait_for_agent();
        assert_stays_open();
        gate::open();
        wait(Duration::from_secs(60), "apt is done", || {
            fs::exists(package::FOLDER).expect("readable") && is_sealed()
        });
        drop((apt, snippet));
        purge();
    }

    /// A hook that runs apt itself, to its end and killed, and is still in need of a writable /usr.
    #[test]
    fn where_one_runs_inside_of_another() {
        begin();
        let deb = plain();
        let inner = format!("env INNER=1 apt-get -o Debug::NoLocking=1 -y -q install {deb}");
        for ending in ["true", "kill -KILL $PPID"] {
            let script = format!(
                "if [ \"$INNER\" ]; then {ending}; exit 0; fi\n{inner}\n\
                 rm -f /usr/share/rousr-writer && touch /usr/share/rousr-writer && sleep 2 && \
                 rm /usr/share/rousr-writer"
            );
            fs::write("/run/rousr-other", script).expect("written");
            let snippet = Snippet::new(
                "50other",
                "DPkg::Pre-Invoke { \"exec sh /run/rousr-other\"; };",
            );
            let finished = shell(&install(&deb));
            assert_eq!(finished.status, 0, "{ending}: {}", finished.output);
            assert_sealed();
            drop(snippet);
            let told = finished.output.matches("/usr is read-only again").count();
            assert_eq!(told, 1, "{ending}: {}", finished.output);
        }
        purge();
    }

    /// Whoever opens /usr without an agent leaves a guard behind, which ends with the transaction.
    #[test]
    fn where_apt_is_killed_and_no_agent_runs() {
        begin();
        let deb = with_script(&format!("{GATE}; exit 1"));
        let stop = || succeed("systemctl stop rousr");
        for when in ["before", "in the middle"] {
            gate::close();
            if when == "before" {
                stop();
            }
            let apt = apt(&deb);
            gate::wait_at();
            if when == "in the middle" {
                stop();
            }
            wait(SOON, &format!("a guard, stopped {when}"), is_guarded);
            assert_stays_open();
            succeed("pkill -KILL -x apt-get");
            assert_stays_open();
            gate::open();
            wait(SOON, &format!("sealed, stopped {when}"), is_sealed);
            wait(SOON, "the guard has ended", || !is_guarded());
            drop(apt);
            purge();
            succeed("systemctl start rousr");
        }
    }

    /// An agent takes its place, and `rousr disable` stops it.
    #[test]
    fn where_a_guard_is_not_needed_any_more() {
        begin();
        succeed("systemctl stop rousr");
        let command = Background::start("rousr exec sleep 1000");
        wait(SOON, "a guard", is_guarded);
        succeed("systemctl start rousr");
        assert!(!is_guarded());
        assert_stays_open();
        succeed("systemctl stop rousr");
        wait(SOON, "another guard", is_guarded);
        let told = succeed("rousr disable");
        assert!(
            told.contains("/usr stays open; `rousr enable` undoes it"),
            "{told}"
        );
        assert!(!is_guarded());
        succeed("pkill -KILL -f '^rousr exec'; pkill -x sleep");
        drop(command);
        assert_stays_open();
        succeed("rousr enable");
        wait_for_agent();
        assert_sealed();
    }

    /// Hooks that somebody calls without a frontend end with whoever calls them.
    #[test]
    fn where_a_caller_without_a_lock_dies() {
        begin();
        let hook = Background::start(
            "python3 -c 'import os, time; os.system(\"rousr apt pre-invoke\"); time.sleep(1000)'",
        );
        wait(SOON, "it is open", || usr_flags().0 == "rw");
        assert_stays_open();
        drop(hook);
        wait(SOON, "sealed", is_sealed);
    }
}
