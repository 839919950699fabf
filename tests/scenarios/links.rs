//! Files of which no hold can be made: they are told by name, and everything else goes on.

mod root {
    use std::{fs, time::Duration};

    use rousr_tests::{
        Background, assert_sealed, begin, flags_of, package, shell, status, succeed, untold, wait,
    };

    const SECONDS: Duration = Duration::from_secs(60);

    fn reader(path: &str) -> Background {
        let user = Background::start(&format!("sh -c 'exec 9<{path}; exec sleep 1000'"));
        wait(SECONDS, "it is in use", || {
            shell(&format!("readlink /proc/*/fd/9 | grep -qx {path}")).status == 0
        });
        user
    }

    #[test]
    fn an_immutable_file_in_use_is_told() {
        begin();
        // chattr(1) opens it while /usr is open, and before it is immutable.
        let fixed = untold("rousr-fixed");
        succeed(&format!(
            "rousr exec sh -c 'echo old >{fixed} && chattr +i {fixed}'"
        ));
        let user = reader(&fixed);
        let told = package::install(&package::build("1", &[]));
        assert!(
            told.contains(&format!("{fixed}: it is immutable (lsattr)")),
            "{told}"
        );
        assert_sealed();
        assert_eq!(fs::read_to_string(&fixed).expect("is there"), "old\n");
        succeed("apt-get -y -q purge rousr-kinds");
        drop(user);
        succeed(&format!(
            "rousr exec sh -c 'chattr -i {fixed} && rm {fixed}'"
        ));
        assert_sealed();
    }

    /// A project's files cannot be linked into a folder that gives its files another one.
    #[test]
    fn a_file_of_another_project_is_told() {
        begin();
        succeed(
            "truncate -s 32M /var/project.img && mkfs.ext4 -q -O project,quota /var/project.img && \
             modprobe loop && mount -o loop,prjquota /var/project.img /usr/local && \
             mkdir /usr/local/other && chattr +P -p 7 /usr/local && chattr +P -p 8 /usr/local/other && \
             echo old >/usr/local/other/file && mount -o remount,ro /usr/local",
        );
        let path = "/usr/local/other/file";
        wait(SECONDS, "it is kept read-only", || {
            status()["beside"][0]["mountPoint"] == "/usr/local"
        });
        let user = reader(path);
        let told = package::install(&package::build("1", &[]));
        assert!(
            told.contains(path) && told.contains("another project"),
            "{told}"
        );
        assert_sealed();
        let sealed = Some(("ro".to_owned(), "ro".to_owned()));
        assert_eq!(flags_of("/usr/local"), sealed);

        // Replaced all the same, it blocks its filesystem until it is closed, and the mount is sealed.
        succeed(&format!(
            "rousr exec sh -c 'echo new >{path}.new && mv {path}.new {path}'"
        ));
        assert_eq!(
            flags_of("/usr/local"),
            Some(("ro".to_owned(), "rw".to_owned()))
        );
        drop(user);
        wait(SECONDS, "it is sealed", || flags_of("/usr/local") == sealed);
        // The agent may be looking at it.
        wait(SECONDS, "it is unmounted", || {
            shell("umount /usr/local").status == 0
        });
        succeed("apt-get -y -q purge rousr-kinds");
        assert_sealed();
    }
}
