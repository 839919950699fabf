//! `rousr blockers`: all that blocks is shown, or how much is not.

mod root {
    use std::{fs, time::Duration};

    use rousr_tests::{assert_sealed, begin, shell, succeed, untold, wait};
    use serde_json::Value;

    fn folder() -> String {
        untold("rousr-blockers")
    }

    /// A descriptor in flight in a socket, and no other of the file.
    const IN_FLIGHT: &str = r#"
import os, socket, sys, time
one, other = socket.socketpair()
opened = os.open(sys.argv[1], os.O_RDONLY)
socket.send_fds(one, [b"."], [opened])
os.close(opened)
open("/run/holder.ready", "w")
time.sleep(100000)
"#;

    #[track_caller]
    fn told() -> Value {
        let told = shell("rousr blockers --json");
        assert_eq!(told.status, 1, "{}", told.output);
        serde_json::from_str(&told.output).expect("JSON")
    }

    /// The blocker of this kind and name, which the kernel calls deleted.
    #[track_caller]
    fn blocker<'t>(told: &'t Value, kind: &str, name: &str) -> &'t Value {
        let path = format!("{}{name} (deleted)", folder());
        let blockers = told["blockers"].as_array().expect("a list");
        let found = blockers
            .iter()
            .find(|blocker| blocker["kind"] == kind && blocker["path"] == *path);
        found.unwrap_or_else(|| panic!("no {kind} {path} in {told:#}"))
    }

    #[test]
    fn what_the_kernel_counts_is_shown_or_missed() {
        begin();
        let folder = folder();
        succeed(&format!(
            "rousr unseal && mkdir -p {folder}/outer/inner && cd {folder} && touch sent bound && \
             truncate -s 1M image && cp /usr/bin/sleep program && modprobe -q loop; \
             touch /run/bound && mount --bind {folder}/bound /run/bound && mount -o remount,bind,ro /run/bound \
             && losetup -r /dev/loop0 image"
        ));
        let _ = fs::remove_file("/run/holder.ready");
        fs::write("/run/holder.py", IN_FLIGHT).expect("/run is writable");
        succeed(&format!(
            "systemd-run -q --unit rousr-sends python3 /run/holder.py {folder}/sent; \
             systemd-run -q --unit rousr-runs {folder}/program 1000; \
             systemd-run -q --unit rousr-stands -p WorkingDirectory={folder}/outer/inner sleep 1000"
        ));
        wait(Duration::from_secs(60), "all of them are ready", || {
            fs::exists("/run/holder.ready").unwrap_or(false)
                && shell(&format!(
                    "readlink /proc/*/cwd | grep -qx {folder}/outer/inner"
                ))
                .status
                    == 0
        });
        succeed(&format!("rm -r {folder}"));
        assert_eq!(shell("rousr seal").status, 1, "/usr cannot be sealed");

        let all = told();
        for (kind, name, remedy) in [
            ("orphan-file", "/program", "restart"),
            ("orphan-file", "/image", "detach"),
            ("orphan-file", "/bound", "unmount"),
            ("orphan-directory", "", "restart"),
            ("orphan-directory", "/outer", "restart"),
            ("orphan-directory", "/outer/inner", "restart"),
        ] {
            let found = blocker(&all, kind, name);
            assert_eq!(found["remedies"][0]["action"], remedy, "{found:#}");
        }
        let unit = &blocker(&all, "orphan-directory", "/outer")["holders"][0];
        assert_eq!(unit["unit"], "rousr-stands.service");
        let orphans = &all["orphans"];
        assert_eq!(
            (&orphans["counted"], &orphans["shown"]),
            (&7.into(), &6.into())
        );
        assert_eq!(orphans["inFlight"][0]["unit"], "rousr-sends.service");
        let text = shell("rousr blockers").output;
        for part in [
            "7 inodes without a name",
            "6 are shown: 1 is",
            "losetup -d /dev/loop0",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }

        succeed(
            "umount /run/bound && losetup -d /dev/loop0 && systemctl stop rousr-runs rousr-stands",
        );
        let rest = told();
        assert_eq!(rest["blockers"], Value::Array(Vec::new()), "{rest:#}");
        let orphans = &rest["orphans"];
        assert_eq!(
            (&orphans["counted"], &orphans["shown"]),
            (&2.into(), &0.into()),
            "the file in flight, and the directory around it"
        );
        succeed("systemctl stop rousr-sends && rousr seal");
        assert_sealed();
    }
}
