//! What a user without privileges may try against holds, sockets, hooks and files of rousr: none of it has any
//! effect.

mod root {
    use std::{
        collections::BTreeSet,
        fs::{self, File},
        os::unix::fs::PermissionsExt as _,
        time::Duration,
    };

    use rousr_tests::{
        Background, agent_pid, assert_sealed, begin, holds, inode,
        package::{self, FOLDER, Packed},
        shell, succeed, usr_flags, wait, wait_for_reap,
    };

    const SECONDS: Duration = Duration::from_secs(60);

    /// Who tries: nobody's, without a group of anybody's.
    const USER: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs";

    /// The same, where set-id programs are to work.
    const USER_WITH_SET_ID: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

    /// Lines of shell that have to fail, while /usr is writable: read-only, modes would not be tried. `$hold` is
    /// the path of a hold.
    const TRIES: [(&str, &str); 30] = [
        ("list the holds", "ls /usr/.rousr"),
        ("look at a hold", "stat $hold"),
        ("read a hold", "cat $hold"),
        ("run a hold", "$hold"),
        ("link a hold", "ln $hold /usr/share/stolen"),
        ("remove a hold", "rm -f $hold"),
        ("put a file among the holds", "touch /usr/.rousr/1"),
        ("replace the hold directory", "mv /usr/.rousr /usr/.other"),
        (
            "link beside the hold directory",
            "ln -s /etc/shadow /usr/.rousr2",
        ),
        ("remount /usr", "mount -o remount,rw /usr"),
        (
            "ask the agent",
            "curl -sS --unix-socket /run/rousr/control.sock http://x/",
        ),
        (
            "read metrics",
            "curl -sS --unix-socket /run/rousr/metrics.sock http://x/metrics",
        ),
        (
            "put a socket in the agent's place",
            "rm -f /run/rousr/control.sock && ln -s /tmp/x /run/rousr/control.sock",
        ),
        (
            "say that /usr is open",
            "echo '{\"wanted\":\"open\",\"reasons\":[]}' >/run/rousr/open",
        ),
        ("take the lock", "flock -n /run/rousr/lock true"),
        ("read the ledger", "cat /var/lib/rousr/ledger"),
        ("write to the ledger", "echo x >>/var/lib/rousr/ledger"),
        ("disable it by a file", "touch /var/lib/rousr/disabled"),
        (
            "configure it",
            "mkdir -p /etc/rousr && echo 'usr = \"writable\"' >/etc/rousr/rousr.conf",
        ),
        ("reach the maps", "ls /sys/fs/bpf/rousr/"),
        ("kill the agent", "kill -KILL $agent"),
        ("use the agent's descriptors", "ls /proc/$agent/fd"),
        ("rousr unseal", "rousr unseal"),
        ("rousr exec", "rousr exec true"),
        ("rousr disable", "rousr disable"),
        ("rousr restart", "rousr restart --yes"),
        ("rousr agent", "rousr agent"),
        ("rousr agent --settle", "rousr agent --settle"),
        ("rousr agent --detach-all", "rousr agent --detach-all"),
        (
            "unseal as root of a user namespace",
            "unshare -Ur rousr unseal",
        ),
    ];

    /// Hooks forgive, and may succeed: they must have done nothing.
    const HARMLESS: [&str; 6] = [
        "rousr apt pre-invoke",
        "printf 'VERSION 3\\n\\ndpkg 1 amd64 none > - - none **REMOVE**\\n' | rousr apt pre-install-pkgs",
        "rousr apt post-invoke",
        "DPKG_HOOK_ACTION=remove rousr dpkg pre-invoke",
        "rousr dpkg post-invoke",
        "unshare -Urm sh -c 'mount -t tmpfs x /usr/share && rousr apt pre-invoke; rousr apt post-invoke; rousr seal'",
    ];

    /// All that must not change.
    #[derive(Debug, PartialEq)]
    struct State {
        flags: (String, String),
        holds: BTreeSet<u64>,
        files: [Vec<u8>; 2],
        is_configured: bool,
    }

    impl State {
        #[track_caller]
        fn look(agent: &str) -> Self {
            let name = fs::read_to_string(format!("/proc/{agent}/comm"));
            assert_eq!(name.expect("the agent runs"), "rousr\n");
            Self {
                flags: usr_flags(),
                holds: holds().into_iter().collect(),
                files: ["ledger", "history"]
                    .map(|name| fs::read(format!("/var/lib/rousr/{name}")).expect("readable")),
                is_configured: fs::exists("/etc/rousr/rousr.conf").expect("readable"),
            }
        }
    }

    fn packed(name: &str, content: Vec<u8>, mode: u32) -> Packed {
        Packed {
            name: name.into(),
            content,
            mode,
        }
    }

    #[test]
    fn nothing_that_a_user_tries_has_an_effect() {
        begin();
        let [old, new] = ["1", "2"].map(|version| {
            let script = format!("#!/bin/sh\necho {version}\n");
            package::build(version, &[packed("tool", script.into(), 0o755)])
        });
        package::install(&old);
        let path = format!("{FOLDER}/tool");
        let held = inode(&path);
        let user = File::open(&path).expect("opened");
        package::install(&new);
        assert!(holds().contains(&held));
        let agent = agent_pid();
        let variables = format!("hold=/usr/.rousr/{held} agent={agent}");
        let attempt = |line: &str| {
            let script = format!("{variables}\nexport hold agent\n{line}\n");
            fs::write("/run/abuse.sh", script).expect("written");
            shell(&format!("{USER} sh /run/abuse.sh"))
        };
        succeed("rousr unseal");
        let before = State::look(&agent);
        for (what, line) in TRIES {
            let tried = attempt(line);
            assert!(
                ![0, 127].contains(&tried.status),
                "{what}: {}",
                tried.output
            );
            // While /usr is open what anybody runs of it is held, too, and noted.
            let mut after = State::look(&agent);
            after.holds.retain(|inode| before.holds.contains(inode));
            after.files[0].truncate(before.files[0].len());
            assert_eq!(after, before, "{what}: {}", tried.output);
        }
        succeed("rousr seal");
        assert_sealed();
        let before = State::look(&agent);
        for line in HARMLESS {
            let tried = attempt(line);
            assert_ne!(tried.status, 127, "{line}: {}", tried.output);
            assert_eq!(State::look(&agent), before, "{line}: {}", tried.output);
        }
        drop(user);
        wait_for_reap();
        succeed("apt-get -y -q purge rousr-kinds");
    }

    /// Whoever kept a descriptor of it could run it as root for as long as he likes. dpkg takes the bits from
    /// what it replaces; nobody does where it is replaced by hand, or dpkg does not get there.
    #[test]
    fn an_old_set_id_program_is_one_no_more() {
        begin();
        let id = fs::read("/usr/bin/id").expect("id");
        let [old, new] =
            ["1", "2"].map(|version| package::build(version, &[packed("id", id.clone(), 0o4755)]));
        package::install(&old);
        let path = format!("{FOLDER}/id");
        let by_hand = format!("rousr exec sh -c 'cp -p {path} {path}.new && mv {path}.new {path}'");
        let by_dpkg = format!("apt-get -y -q install {}", new.display());
        for (replace, after) in [(by_hand, "0\n65534\n"), (by_dpkg, "0\ndenied\n")] {
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o7777, 0o4755);
            let held = inode(&path);
            let user = Descriptor::of(&path);
            wait(SECONDS, "it was root's", || user.told() == "0\n");
            succeed(&replace);
            assert!(holds().contains(&held), "{:?}", holds());
            let mode = succeed(&format!("stat -c %a /usr/.rousr/{held}"));
            assert!(mode.trim().len() == 3, "{mode}");
            fs::write(Descriptor::GO, "").expect("written");
            wait(SECONDS, "it is root's no more", || user.told() == after);
            drop(user);
            wait_for_reap();
        }
        succeed("apt-get -y -q purge rousr-kinds");
    }

    /// A user who keeps a descriptor of a program, and runs it by that: at once, and when told to.
    struct Descriptor {
        _shell: Background,
    }

    impl Descriptor {
        const GO: &str = "/run/abuse.go";
        const OUTPUT: &str = "/run/abuse.out";

        fn of(path: &str) -> Self {
            for file in [Self::GO, Self::OUTPUT] {
                fs::remove_file(file).ok();
            }
            let run = "/proc/self/fd/9 -u 2>/dev/null || echo denied";
            let script = format!(
                "exec 9<{path}\n{run}\nwhile [ ! -e {} ]; do sleep 0.1; done\n{run}\n",
                Self::GO
            );
            fs::write("/run/abuse.sh", script).expect("written");
            Self {
                _shell: Background::start(&format!(
                    "{USER_WITH_SET_ID} sh /run/abuse.sh >{}",
                    Self::OUTPUT
                )),
            }
        }

        fn told(&self) -> String {
            fs::read_to_string(Self::OUTPUT).unwrap_or_default()
        }
    }

    /// Files of a filesystem of his own, under the same names, are not taken for those of /usr.
    #[test]
    fn files_of_another_usr_are_not_held() {
        begin();
        let script = "mount -t tmpfs x /usr/share && cd /usr/share && \
             i=0; while [ $i -lt 300 ]; do : >$i; i=$((i+1)); done; \
             exec 9<1 8<'200' && touch /tmp/abuse.ready && sleep 1000";
        fs::write("/run/abuse.sh", script).expect("written");
        fs::remove_file("/tmp/abuse.ready").ok();
        let user = Background::start(&format!("{USER} unshare -Urm sh /run/abuse.sh"));
        wait(SECONDS, "its files are open", || {
            fs::exists("/tmp/abuse.ready").expect("readable")
        });
        // All are held that are in use, none of them his, which would be told: no link leads across filesystems.
        let told = succeed("rousr exec find /usr/.rousr -type f -empty");
        assert_eq!(told, "", "his files are empty");
        let told = succeed("rousr exec sh -c 'ls /usr/.rousr | wc -l'");
        assert!(
            told.trim().parse::<u32>().is_ok_and(|count| count > 5),
            "{told}"
        );
        assert_sealed();
        drop(user);
    }
}
