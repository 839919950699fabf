//! `rousr holders`: who uses what, and that nobody can hold it up.

mod root {
    use std::{fs, time::Duration};

    use rousr_tests::{Background, begin, holds, inode, shell, succeed, wait, wait_for_reap};
    use serde_json::{Value, json};

    /// A program that uses /usr/bin/env in each way that a file can be used, and /usr/lib.
    const EACH_WAY: &str = r#"
import mmap, os, time
path = "/usr/bin/env"
os.chdir("/usr/lib")
for flags, numbers in (os.O_RDONLY, (40, 41)), (os.O_PATH, (50,)):
    opened = os.open(path, flags)
    for number in numbers:
        os.dup2(opened, number)
    os.close(opened)
mapped = mmap.mmap(40, 4096, prot=mmap.PROT_READ, trackfd=False)
open("/run/holder.pid", "w").write(str(os.getpid()))
time.sleep(100000)
"#;

    /// A filesystem whose server answers until its root is open, and a process that has it open.
    const DEAD_MOUNT: &str = r#"
import ctypes, os, struct, sys, time
INIT, GETATTR, OPENDIR, FORGETS = 26, 3, 27, (2, 42)
fuse = os.open("/dev/fuse", os.O_RDWR)
os.makedirs("/run/dead", exist_ok=True)
libc = ctypes.CDLL(None, use_errno=True)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fuse
if libc.mount(b"dead", b"/run/dead", b"fuse", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
if not os.fork():
    os.close(fuse)
    for path, number in ("/usr/bin/env", 40), ("/run/dead", 41):
        opened = os.open(path, os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    open("/run/holder.pid", "w").write(str(os.getpid()))
    time.sleep(100000)
answers = {
    INIT: struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, *[0] * 8),
    GETATTR: struct.pack("<QII6Q10I", 0, 0, 0, 1, *[0] * 5, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0),
    OPENDIR: struct.pack("<QII", 1, 0, 0),
}
operation = None
while operation != OPENDIR:
    _, operation, unique = struct.unpack_from("<IIQ", os.read(fuse, 1 << 20))
    if operation in FORGETS:
        continue
    body = answers.get(operation, b"")
    error = 0 if body else -38
    os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
time.sleep(100000)
"#;

    /// Runs a program, and returns it with the number of the process that it names.
    fn holder(program: &str, around: &str) -> (Background, u64) {
        let _ = fs::remove_file("/run/holder.pid");
        fs::write("/run/holder.py", program).expect("/run is writable");
        let running = Background::start(&format!("{around} python3 /run/holder.py"));
        let mut pid = None;
        wait(Duration::from_secs(60), "the holder is ready", || {
            let text = fs::read_to_string("/run/holder.pid").unwrap_or_default();
            pid = text.parse().ok();
            pid.is_some()
        });
        (running, pid.expect("the wait has ended"))
    }

    /// What `rousr holders --json` says with these arguments.
    #[track_caller]
    fn told(arguments: &str) -> Value {
        let line = format!("timeout 20 rousr holders --json {arguments} 2>/dev/null");
        serde_json::from_str(&succeed(&line)).expect("JSON")
    }

    /// One process in it.
    #[track_caller]
    fn process(told: &Value, pid: u64) -> &Value {
        let processes = told["processes"].as_array().expect("a list");
        let found = processes.iter().find(|process| process["pid"] == pid);
        found.unwrap_or_else(|| panic!("no process {pid} in {told}"))
    }

    #[track_caller]
    fn path(told: &Value, inode: u64) -> &Value {
        let files = told["files"].as_array().expect("a list");
        let found = files.iter().find(|file| file["inode"] == inode);
        &found.unwrap_or_else(|| panic!("no inode {inode} in {told}"))["path"]
    }

    fn end(pid: u64) {
        succeed(&format!("kill -CONT {pid}; kill -KILL {pid}"));
    }

    #[test]
    fn each_way_of_use_is_told() {
        begin();
        let (_running, pid) = holder(
            EACH_WAY,
            "systemd-run --quiet --collect --unit=rousr-holder",
        );
        let env = inode("/usr/bin/env");
        let of_env = told("/usr/bin/env");
        assert_eq!(*path(&of_env, env), "/usr/bin/env");
        let holder = process(&of_env, pid);
        assert_eq!(holder["comm"], "python3");
        assert_eq!(holder["unit"], "rousr-holder.service");
        assert_eq!(holder["container"], Value::Null);
        let program = fs::canonicalize("/usr/bin/python3").expect("it is there");
        let program = program.to_str().expect("ASCII");
        assert_eq!(holder["executable"], program);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let started = stat
            .rsplit(')')
            .next()
            .and_then(|fields| fields.split(' ').nth(20));
        assert_eq!(holder["startTime"].to_string(), started.expect("22 fields"));
        assert_eq!(
            holder["uses"],
            json!([
                {"inode": env, "kind": "descriptor", "descriptors": [40, 41]},
                {"inode": env, "kind": "path-descriptor", "descriptors": [50]},
                {"inode": env, "kind": "mapping", "mappings": 1},
            ])
        );
        let all = told("--all");
        let kinds = |path: &str| -> Vec<&str> {
            let uses = process(&all, pid)["uses"]
                .as_array()
                .expect("a list")
                .iter();
            uses.filter(|used| used["inode"] == inode(path))
                .filter_map(|used| used["kind"].as_str())
                .collect()
        };
        assert_eq!(kinds("/usr/lib"), ["working-directory"]);
        assert_eq!(kinds(program), ["mapping", "executable"]);
        assert_eq!(*path(&all, inode(program)), program);
        end(pid);
    }

    #[test]
    fn proc_tells_the_same_where_no_agent_runs() {
        begin();
        let (_running, pid) = holder(
            EACH_WAY,
            "systemd-run --quiet --collect --unit=rousr-holder",
        );
        let by_agent = told("--all");
        succeed("systemctl stop rousr");
        let by_proc = told("--all");
        assert_eq!(
            (&by_agent["source"], &by_proc["source"]),
            (&json!("bpf"), &json!("proc"))
        );
        assert_eq!(process(&by_proc, pid), process(&by_agent, pid));
        let env = inode("/usr/bin/env");
        assert_eq!(path(&by_proc, env), path(&by_agent, env));
        let said = succeed("rousr holders /usr/bin/env");
        assert!(said.contains("systemctl start rousr"), "{said}");
        assert!(said.contains("/proc"), "{said}");
        succeed("systemctl start rousr");
        end(pid);
    }

    #[test]
    fn user_units_and_containers_have_their_names() {
        begin();
        let groups = [
            (
                "user.slice/user-4711.slice/user@4711.service/app.slice/x.service",
                "x.service",
                json!(4711),
                Value::Null,
            ),
            (
                "docker-0123456789abcdef.scope",
                "docker-0123456789abcdef.scope",
                Value::Null,
                json!("0123456789abcdef"),
            ),
            (
                "lxc.payload.web/system.slice/ssh.service",
                "ssh.service",
                Value::Null,
                json!("web"),
            ),
        ];
        for (group, unit, user, container) in groups {
            let folder = format!("/sys/fs/cgroup/{group}");
            fs::create_dir_all(&folder).expect("a control group");
            let enter = format!("sh -c 'echo 0 >{folder}/cgroup.procs; exec \"$@\"' sh");
            let (running, pid) = holder(EACH_WAY, &enter);
            let told = told("/usr/bin/env");
            let holder = process(&told, pid);
            assert_eq!(holder["unit"], unit, "{told}");
            assert_eq!(holder["unitUser"], user, "{told}");
            assert_eq!(holder["container"], container, "{told}");
            drop(running);
        }
    }

    #[test]
    fn a_stopped_process_holds_nobody_up() {
        begin();
        let (_running, pid) = holder(
            EACH_WAY,
            "systemd-run --quiet --collect --unit=rousr-holder",
        );
        let running = told("--all");
        succeed(&format!("kill -STOP {pid}"));
        assert_eq!(process(&told("--all"), pid), process(&running, pid));
        succeed("timeout 20 rousr status");
        end(pid);
    }

    #[test]
    fn a_dead_mount_holds_nobody_up() {
        begin();
        succeed("modprobe -q fuse || true");
        let (server, pid) = holder(DEAD_MOUNT, "");
        let stuck = shell(&format!("timeout -s KILL 3 stat -L /proc/{pid}/fd/41"));
        assert_ne!(stuck.status, 0, "the mount is alive:\n{}", stuck.output);
        let of_env = told("/usr/bin/env");
        assert_eq!(process(&of_env, pid)["uses"][0]["descriptors"], json!([40]));
        assert_eq!(process(&told("--all"), pid)["comm"], "python3");
        succeed("timeout 20 rousr status");
        // With its server the connection ends.
        drop(server);
        end(pid);
        succeed("umount -l /run/dead");
    }

    #[test]
    fn a_held_file_is_told_by_number_and_by_path() {
        begin();
        succeed("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb");
        let held = inode("/usr/share/rousr-demo/script.sh");
        succeed("systemctl start rousr-demo-script && sleep 1");
        succeed("apt-get -y -q purge rousr-demo");
        assert!(holds().contains(&held));
        for asked in ["", &held.to_string(), &format!("/usr/.rousr/{held}")] {
            let told = told(asked);
            assert_eq!(told["source"], "bpf");
            assert_eq!(*path(&told, held), "/usr/share/rousr-demo/script.sh");
            let processes = told["processes"].as_array().expect("a list").iter();
            let uses_it = |process: &&Value| {
                let uses = process["uses"].as_array().expect("a list");
                uses.iter().any(|used| used["inode"] == held)
            };
            let units: Vec<&Value> = processes
                .filter(uses_it)
                .map(|process| &process["unit"])
                .collect();
            assert_eq!(units, ["rousr-demo-script.service"], "{told}");
        }
        let table = succeed("rousr holders");
        assert!(table.contains("rousr-demo-script.service"), "{table}");
        succeed("systemctl stop rousr-demo-script");
        wait_for_reap();
        let nobody = shell("rousr holders");
        assert_eq!((nobody.status, nobody.output.as_str()), (1, ""));
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        begin();
        let cases = [
            ("/etc/hostname", 1, "not on the filesystem at /usr"),
            ("/usr/bin/nowhere", 1, "/usr/bin/nowhere"),
            ("7", 1, "there is no hold 7"),
            ("/usr/share/doc", 1, ""),
            ("--all /usr/bin/env", 2, "--all"),
        ];
        for (arguments, status, said) in cases {
            let refused = shell(&format!("rousr holders {arguments}"));
            assert_eq!(refused.status, status, "{arguments}: {}", refused.output);
            assert!(
                refused.output.contains(said),
                "{arguments}: {}",
                refused.output
            );
        }
    }
}
