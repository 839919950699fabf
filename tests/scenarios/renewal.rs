//! The agent is never a holder of what was replaced: it executes itself anew.

mod root {
    use std::{
        collections::BTreeSet,
        fs::{self, File},
        os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        thread,
    };

    use rousr_tests::{
        Background, SOON, agent_pid, assert_sealed, begin, holds, inode, is_sealed,
        package::{self, Packed},
        shell, succeed,
        verify::Verification,
        wait, wait_for_agent, wait_for_reap,
    };

    const DROP_IN: &str = "/run/systemd/system/rousr.service.d";

    /// The program as it was.
    const COPY: &str = "/run/rousr-copy";

    /// A C library of the package's own, which the agent uses, and of all else only what the test starts: after
    /// an upgrade of the system's own this test would be a holder itself.
    fn private_library(version: &str) -> String {
        let system = succeed("ldd /usr/sbin/rousr | grep -o '/[^ ]*/libc.so.6'");
        let library = Packed {
            name: "libc.so.6".to_owned(),
            content: fs::read(system.trim()).expect("the C library"),
            mode: 0o755,
        };
        let table = Packed {
            name: "table".to_owned(),
            content: version.into(),
            mode: 0o644,
        };
        package::build(version, &[library, table])
            .display()
            .to_string()
    }

    fn library() -> String {
        format!("{}/libc.so.6", package::FOLDER)
    }

    /// The agent with the package's library, restored with the test.
    struct Agent;

    impl Agent {
        fn with_library() -> Self {
            succeed(&format!(
                "mkdir -p {DROP_IN} && printf '[Service]\\nEnvironment=LD_LIBRARY_PATH={}\\n' > \
                 {DROP_IN}/library.conf && systemctl daemon-reload && systemctl restart rousr",
                package::FOLDER
            ));
            let library = library();
            assert!(maps(&agent_pid()).contains(&library), "the agent uses it");
            Self
        }
    }

    impl Drop for Agent {
        fn drop(&mut self) {
            shell(&format!(
                "rm -r {DROP_IN}; systemctl daemon-reload; systemctl restart rousr"
            ));
        }
    }

    fn maps(pid: &str) -> String {
        fs::read_to_string(format!("/proc/{pid}/maps")).expect("the agent")
    }

    /// Inodes of /usr that the process has mapped and that have no name but a hold's.
    fn replaced(pid: &str) -> BTreeSet<u64> {
        let usr = fs::metadata("/usr").expect("/usr").dev();
        let mut found = BTreeSet::new();
        for mapping in fs::read_dir(format!("/proc/{pid}/map_files")).expect("the agent") {
            let Ok(file) = fs::metadata(mapping.expect("an entry").path()) else {
                continue;
            };
            let is_held = file.nlink() == 1 && holds().contains(&file.ino());
            if file.dev() == usr && (file.nlink() == 0 || is_held) {
                found.insert(file.ino());
            }
        }
        found
    }

    /// Has the threads end that look at it, also where an assertion fails, which waits for them.
    struct StopAtEnd<'a>(&'a AtomicBool);

    impl Drop for StopAtEnd<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn takeovers() -> usize {
        let log = succeed("journalctl -u rousr -u rousr-guard --no-pager -o cat");
        log.matches("a new image of this agent takes over").count()
    }

    /// While others open and close what was replaced with it: not a file is counted twice or lost.
    #[test]
    fn after_an_upgrade_of_its_library() {
        begin();
        succeed(&format!("apt-get -y -q install {}", private_library("1")));
        let agent = Agent::with_library();
        let (pid, before) = (agent_pid(), takeovers());
        let user = Background::start(&format!(
            "env LD_LIBRARY_PATH={} sleep 1000",
            package::FOLDER
        ));
        let table = format!("{}/table", package::FOLDER);
        let held = BTreeSet::from([inode(&library()), inode(&table)]);
        let stop = AtomicBool::new(false);
        let asked = AtomicU64::new(0);
        let unanswered = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let stop_all = StopAtEnd(&stop);
            for _ in 0..4 {
                let own = File::open(&table).expect("a file of the package");
                let stop = &stop;
                scope.spawn(move || {
                    let again = format!("/proc/self/fd/{}", own.as_raw_fd());
                    while !stop.load(Ordering::Relaxed) {
                        drop(File::open(&again).expect("the inode is alive"));
                    }
                });
            }
            scope.spawn(|| {
                // Who asks meanwhile waits, and is answered.
                while !stop.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let finished = shell("rousr verify");
                    let no_answer = ["not running", "does not answer", "shutting down"];
                    if no_answer.iter().any(|text| finished.output.contains(text)) {
                        unanswered.lock().expect("no panic").push(finished.output);
                    }
                }
            });
            succeed(&format!("apt-get -y -q install {}", private_library("2")));
            wait(SOON, "a new image", || takeovers() == before + 1);
            let by_then = asked.load(Ordering::Relaxed);
            wait(SOON, "it answers", || {
                asked.load(Ordering::Relaxed) > by_then + 1
            });
            let verification = Verification::ask();
            assert_eq!(verification.differences, [], "{verification:?}");
            drop(stop_all);
        });
        assert_eq!(
            unanswered.into_inner().expect("no panic"),
            [] as [String; 0]
        );
        wait(SOON, "the table is reaped", || holds().len() == 1);
        assert!(holds().is_subset(&held), "{:?}", holds());
        let counted = Verification::ask().of(inode_of_hold());
        assert_eq!(counted.counted, counted.kernel, "{counted:?}");
        assert_eq!(agent_pid(), pid, "the same process");
        assert_eq!(replaced(&pid), BTreeSet::new());
        assert!(maps(&pid).contains(&library()), "it runs with the new one");
        assert_sealed();
        drop(user);
        wait_for_reap();
        assert_eq!(takeovers(), before + 1, "once is enough");
        drop(agent);
        wait_for_agent();
        succeed("apt-get -y -q purge rousr-kinds");
    }

    fn inode_of_hold() -> u64 {
        *holds().first().expect("the library")
    }

    #[test]
    fn where_it_is_killed_meanwhile() {
        begin();
        succeed(&format!("apt-get -y -q install {}", private_library("1")));
        let agent = Agent::with_library();
        let user = Background::start(&format!(
            "env LD_LIBRARY_PATH={} sleep 1000",
            package::FOLDER
        ));
        succeed(&format!(
            "apt-get -y -q install {} && systemctl kill -s KILL rousr && sleep 0.5",
            private_library("2")
        ));
        wait_for_agent();
        wait(SOON, "sealed", is_sealed);
        assert_eq!(holds().len(), 1);
        assert_eq!(replaced(&agent_pid()), BTreeSet::new());
        drop(user);
        wait_for_reap();
        drop(agent);
        wait_for_agent();
        succeed("apt-get -y -q purge rousr-kinds");
    }

    /// A package that owns the program alone.
    fn own_package(version: &str) -> String {
        let deb = format!("/run/rousr-self_{version}.deb");
        succeed(&format!(
            "rm -rf /run/rousr-tree && mkdir -p /run/rousr-tree/DEBIAN /run/rousr-tree/usr/sbin && \
             install -m 755 {COPY} /run/rousr-tree/usr/sbin/rousr && \
             printf 'Package: rousr-self\\nVersion: {version}\\nArchitecture: all\\n\
             Maintainer: rousr developers <rousr@localhost>\\nDescription: rousr\\n' \
             > /run/rousr-tree/DEBIAN/control && \
             dpkg-deb --root-owner-group -Znone -b /run/rousr-tree {deb} && rm -r /run/rousr-tree"
        ));
        deb
    }

    /// rousr as a package's file, restored with the test.
    struct Owned;

    impl Drop for Owned {
        /// As somebody would put it back.
        fn drop(&mut self) {
            shell(&format!(
                "dpkg --purge rousr-self; systemctl stop rousr; mount -o remount,rw /usr; \
                 install -m 755 {COPY} /usr/sbin/rousr; mount -o remount,ro /usr; \
                 rm -f /etc/apt/apt.conf.d/50other /etc/apt/apt.conf.d/zzz-other; systemctl restart rousr"
            ));
        }
    }

    /// The package with the program, installed: an upgrade of what nobody owned.
    fn with_own_package() -> Owned {
        succeed(&format!("cp /usr/sbin/rousr {COPY}"));
        let owned = Owned;
        let (pid, before) = (agent_pid(), takeovers());
        succeed(&format!("apt-get -y -q install {}", own_package("1")));
        wait(SOON, "a new image", || takeovers() == before + 1);
        wait(SOON, "the old one is reaped", || {
            holds().is_empty() && is_sealed()
        });
        assert_eq!(agent_pid(), pid, "the same process");
        let program = format!("/proc/{pid}/exe");
        assert_eq!(inode(&program), inode("/usr/sbin/rousr"));
        owned
    }

    fn has_ended(pid: &str) -> bool {
        !fs::exists(format!("/proc/{pid}")).expect("readable")
    }

    /// Upgraded, the agent goes on as the new program; removed, it goes on without one until nothing is left to do.
    #[test]
    fn after_its_own_upgrade_and_removal() {
        begin();
        let owned = with_own_package();
        let (held, user) = with_table();
        let pid = agent_pid();
        succeed("apt-get -y -q remove rousr-self rousr-kinds");
        assert_sealed_without_rousr();
        wait(SOON, "a copy goes on", || {
            let program = fs::read_link(format!("/proc/{pid}/exe"));
            program.is_ok_and(|program| program.to_string_lossy().starts_with("/memfd:rousr"))
        });
        wait(SOON, "its own files are reaped", || {
            holds() == [held].into()
        });
        assert_eq!(replaced(&pid), BTreeSet::new());
        drop(user);
        wait(SOON, "all is reaped", || holds().is_empty() && is_sealed());
        wait(SOON, "it has ended", || has_ended(&pid));
        drop(owned);
        wait_for_agent();
    }

    /// A file of another package, and who uses it.
    fn with_table() -> (u64, File) {
        let table = Packed {
            name: "table".to_owned(),
            content: b"1".to_vec(),
            mode: 0o644,
        };
        package::install(&package::build("1", &[table]));
        let table = format!("{}/table", package::FOLDER);
        let user = File::open(&table).expect("a file of the package");
        (inode(&table), user)
    }

    /// The older one finds what the newer one has held.
    #[test]
    fn after_its_own_downgrade() {
        begin();
        let owned = with_own_package();
        let (held, user) = with_table();
        succeed("apt-get -y -q remove rousr-kinds");
        assert_eq!(holds(), [held].into());
        let (pid, before) = (agent_pid(), takeovers());
        let older = own_package("0.9");
        succeed(&format!("apt-get -y -q install --allow-downgrades {older}"));
        assert_sealed();
        wait(SOON, "the older image", || takeovers() == before + 1);
        wait(SOON, "the newer one is reaped", || {
            holds() == [held].into() && is_sealed()
        });
        assert_eq!(agent_pid(), pid, "the same process");
        drop(user);
        wait_for_reap();
        drop(owned);
        wait_for_agent();
    }

    /// Nobody calls apt's last hook, which would do without rousr.
    #[test]
    fn after_its_own_removal_by_an_apt_that_is_killed() {
        begin();
        let owned = with_own_package();
        let pid = agent_pid();
        let snippet = "/etc/apt/apt.conf.d/50other";
        fs::write(snippet, "DPkg::Post-Invoke { \"kill -KILL $PPID\"; };\n").expect("written");
        let killed = shell("apt-get -y -q remove rousr-self");
        assert_ne!(killed.status, 0, "{}", killed.output);
        assert!(!fs::exists("/usr/sbin/rousr").expect("readable"));
        wait(SOON, "all is reaped", || holds().is_empty() && is_sealed());
        wait(SOON, "it has ended", || has_ended(&pid));
        drop(owned);
        wait_for_agent();
    }

    /// The agent hears of the mount only when nobody has /usr open any more.
    #[test]
    fn after_its_own_removal_that_it_sees_late() {
        begin();
        let owned = with_own_package();
        let pid = agent_pid();
        // Around apt's last hook; dpkg's lock is apt's for longer than the agent takes to look at it.
        fs::write(
            "/etc/apt/apt.conf.d/50other",
            format!("DPkg::Post-Invoke {{ \"kill -STOP {pid}\"; }};\n"),
        )
        .expect("written");
        let after = "/etc/apt/apt.conf.d/zzz-other";
        let resume = format!("DPkg::Post-Invoke {{ \"kill -CONT {pid}; sleep 3\"; }};\n");
        fs::write(after, resume).expect("written");
        succeed("apt-get -y -q remove rousr-self");
        fs::remove_file(after).expect("removed");
        assert_sealed_without_rousr();
        wait(SOON, "all is reaped", || holds().is_empty());
        wait(SOON, "it has ended", || has_ended(&pid));
        drop(owned);
        wait_for_agent();
    }

    fn assert_sealed_without_rousr() {
        assert!(!fs::exists("/usr/sbin/rousr").expect("readable"));
        wait(SOON, "/usr is sealed", is_sealed);
    }
}
