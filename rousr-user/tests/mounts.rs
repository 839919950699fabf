//! The seal and the holds on the running kernel's ext4, in a mount namespace of their own.

mod seal {
    mod root {
        use std::env;
        use std::fs::{self, File, OpenOptions};
        use std::io::{self, Read as _};
        use std::os::fd::{AsFd as _, AsRawFd as _};
        use std::os::unix::fs::MetadataExt as _;
        use std::path::{Path, PathBuf};
        use std::process::{Command, Stdio};
        use std::sync::atomic::{AtomicBool, Ordering};
        use std::thread;

        use rousr::hold::{Candidate, Probe, Reap, Store};
        use rousr::seal::{Error, Level, Seal};
        use rousr::sys::lease::HostLeases;
        use rousr::sys::links::{HostLinks, Links as _, Source};
        use rousr::sys::mount::{HostMounts, read_mountinfo};

        const INSIDE: &str = "ROUSR_TEST_MOUNT_NAMESPACE";

        /// Runs `body` with a fresh ext4 mounted, in a mount namespace that ends with it.
        ///
        /// Mount namespaces belong to threads, and a test's thread is one of many: the test of that
        /// name is run once more, in a process that unshare(1) starts.
        fn with_ext4(test: &str, body: impl FnOnce(&Volume)) {
            if env::var_os(INSIDE).is_some() {
                return body(&Volume::new());
            }
            if !rustix::process::geteuid().is_root() {
                return eprintln!("{test}: skipped, mounting needs root");
            }
            run(Command::new("unshare")
                .args(["--mount", "--propagation", "private", "--"])
                .arg(env::current_exe().expect("has a path"))
                .args(["--exact", "--nocapture", &format!("seal::root::{test}")])
                .env(INSIDE, "1"));
        }

        struct Volume {
            _temporary: tempfile::TempDir,
            mount_point: PathBuf,
        }

        impl Volume {
            fn new() -> Self {
                let temporary = tempfile::tempdir().expect("a temporary directory");
                let image = temporary.path().join("image");
                let mount_point = temporary.path().canonicalize().expect("exists").join("usr");
                File::create(&image)
                    .and_then(|file| file.set_len(16 << 20))
                    .expect("creates");
                fs::create_dir(&mount_point).expect("creates");
                run(Command::new("mke2fs")
                    .args(["-q", "-F", "-t", "ext4"])
                    .arg(&image));
                // An option that a remount must not lose.
                run(Command::new("mount")
                    .args(["-o", "loop,commit=7"])
                    .arg(&image)
                    .arg(&mount_point));
                Self {
                    _temporary: temporary,
                    mount_point,
                }
            }

            fn seal(&self) -> Seal<HostMounts> {
                Seal::new(HostMounts, &self.mount_point)
            }

            fn path(&self, name: &str) -> PathBuf {
                self.mount_point.join(name)
            }

            /// The volume's line in mountinfo.
            fn options(&self) -> String {
                let mounts = String::from_utf8(read_mountinfo().expect("reads")).expect("is text");
                let marker = format!(" {} ", self.mount_point.display());
                mounts
                    .lines()
                    .find(|line| line.contains(&marker))
                    .expect("is mounted")
                    .to_owned()
            }
        }

        impl Drop for Volume {
            fn drop(&mut self) {
                // Files may still be open where a test failed; the namespace ends anyway.
                let _ = Command::new("umount")
                    .arg("--lazy")
                    .arg(&self.mount_point)
                    .status();
            }
        }

        fn run(command: &mut Command) {
            let output = command.output().expect("runs");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{command:?}: {}\n{told}",
                output.status
            );
        }

        fn errno<T>(result: io::Result<T>) -> Option<i32> {
            result.err().and_then(|error| error.raw_os_error())
        }

        /// Puts a new inode in the place of a file, as dpkg does.
        fn replace(path: &Path) {
            let new = path.with_extension("dpkg-new");
            fs::write(&new, "new").expect("writes");
            fs::rename(new, path).expect("renames");
        }

        #[test]
        fn an_orphan_leaves_it_mount_sealed_until_it_goes() {
            with_ext4("an_orphan_leaves_it_mount_sealed_until_it_goes", |volume| {
                let seal = volume.seal();
                let path = volume.path("file");
                fs::write(&path, "old").expect("writes");
                let holder = File::open(&path).expect("opens");
                fs::remove_file(&path).expect("removes");

                assert_eq!(
                    seal.seal().expect("an orphan is no error"),
                    Level::MountSealed
                );
                assert_eq!(errno(File::create(&path)), Some(libc::EROFS));
                drop(holder);
                assert_eq!(seal.seal().expect("seals"), Level::Sealed);
                assert_eq!(seal.level().expect("reads"), Level::Sealed);

                seal.unseal().expect("unseals");
                assert_eq!(seal.level().expect("reads"), Level::Open);
                fs::write(&path, "new").expect("writes again");
            });
        }

        #[test]
        fn a_writer_leaves_it_open_and_is_told() {
            with_ext4("a_writer_leaves_it_open_and_is_told", |volume| {
                let _writer = File::create(volume.path("file")).expect("creates");
                let error = volume.seal().seal().expect_err("is busy");
                assert!(matches!(error, Error::Writer { .. }), "{error}");
                assert_eq!(volume.seal().level().expect("reads"), Level::Open);
            });
        }

        #[test]
        fn another_writable_mount_keeps_its_superblock() {
            with_ext4("another_writable_mount_keeps_its_superblock", |volume| {
                let beside = volume.mount_point.with_file_name("beside");
                fs::create_dir(&beside).expect("creates");
                run(Command::new("mount")
                    .arg("--bind")
                    .arg(&volume.mount_point)
                    .arg(&beside));
                assert_eq!(volume.seal().seal().expect("seals"), Level::MountSealed);
                fs::write(beside.join("file"), "writable").expect("writes");
                run(Command::new("umount").arg(&beside));
                assert_eq!(volume.seal().seal().expect("seals"), Level::Sealed);
            });
        }

        #[test]
        fn no_write_gets_through_beside_a_window() {
            with_ext4("no_write_gets_through_beside_a_window", |volume| {
                let seal = volume.seal();
                fs::write(volume.path("file"), "").expect("writes");
                assert_eq!(seal.seal().expect("seals"), Level::Sealed);
                let sealed = volume.options();
                assert!(sealed.contains("commit=7"), "{sealed}");

                let done = AtomicBool::new(false);
                thread::scope(|scope| {
                    let intruder = scope.spawn(|| {
                        let mut attempts = 0u64;
                        while !done.load(Ordering::Relaxed) {
                            let opened = OpenOptions::new().append(true).open(volume.path("file"));
                            assert_eq!(errno(opened), Some(libc::EROFS));
                            attempts += 1;
                        }
                        attempts
                    });
                    for round in 0..50 {
                        let name = round.to_string();
                        let (made, level) = seal
                            .window(|root| HostLinks.make_private_dir(root, name.as_ref()))
                            .expect("opens");
                        made.expect("writes through the window");
                        assert_eq!(level.expect("closes"), Level::Sealed, "round {round}");
                    }
                    done.store(true, Ordering::Relaxed);
                    assert!(intruder.join().expect("no write got through") > 0);
                });
                assert_eq!(volume.options(), sealed);
            });
        }

        /// What keeps a superblock writable.
        #[derive(Default)]
        struct Blockers {
            orphans: Vec<File>,
            writers: Vec<File>,
        }

        impl Blockers {
            fn add(&mut self, volume: &Volume, writes: bool) {
                let path = volume.path("blocker");
                let writer = File::create(&path).expect("creates");
                if writes {
                    self.writers.push(writer);
                } else {
                    self.orphans.push(File::open(&path).expect("opens"));
                    drop(writer);
                    fs::remove_file(&path).expect("removes");
                }
            }

            /// What a seal leads to; `None` where it fails.
            fn sealed(&self) -> Option<Level> {
                match (self.writers.is_empty(), self.orphans.is_empty()) {
                    (false, _) => None,
                    (true, false) => Some(Level::MountSealed),
                    (true, true) => Some(Level::Sealed),
                }
            }
        }

        fn window(volume: &Volume, blockers: &mut Blockers, step: usize) -> Level {
            let before = volume.seal().level().expect("reads");
            let name = step.to_string();
            let leaves_orphan = step.is_multiple_of(3);
            let action = |root: std::os::fd::BorrowedFd<'_>| {
                let visible = File::create(volume.path("visible"));
                assert_eq!(visible.is_ok(), before == Level::Open, "{before}");
                HostLinks
                    .make_private_dir(root, name.as_ref())
                    .expect("writes");
                if leaves_orphan {
                    let opened = File::open(volume.path("file")).expect("opens");
                    let through = format!("/proc/self/fd/{}/file", root.as_raw_fd());
                    fs::remove_file(&through).expect("removes");
                    fs::write(&through, "anew").expect("writes");
                    blockers.orphans.push(opened);
                }
                if step.is_multiple_of(2) {
                    std::panic::resume_unwind(Box::new("as a reap might"));
                }
            };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                volume.seal().window(action)
            }));
            if let Ok(opened) = outcome {
                let ((), level) = opened.expect("opens");
                assert_eq!(
                    level.expect("closes"),
                    volume.seal().level().expect("reads")
                );
            }
            match before {
                Level::Open => Level::Open,
                _ => blockers.sealed().expect("nobody writes to what is shut"),
            }
        }

        #[test]
        fn whatever_comes_the_state_is_as_told() {
            with_ext4("whatever_comes_the_state_is_as_told", |volume| {
                fs::write(volume.path("file"), "").expect("writes");
                let mut random = fastrand::Rng::with_seed(7);
                let mut blockers = Blockers::default();
                for step in 0..400 {
                    let seal = volume.seal();
                    let before = seal.level().expect("reads");
                    let choice = random.u8(..9);
                    let expected = match choice {
                        0 | 1 => {
                            let sealed = seal.seal();
                            assert_eq!(
                                sealed.as_ref().ok().copied(),
                                blockers.sealed(),
                                "{sealed:?}"
                            );
                            sealed.unwrap_or(before)
                        }
                        2 => {
                            seal.unseal().expect("unseals");
                            Level::Open
                        }
                        3 | 4 => window(volume, &mut blockers, step),
                        5 | 6 if before == Level::Open => {
                            blockers.add(volume, choice == 5);
                            before
                        }
                        7 => {
                            blockers.orphans.pop();
                            before
                        }
                        _ => {
                            blockers.writers.clear();
                            before
                        }
                    };
                    let level = volume.seal().level().expect("reads");
                    assert_eq!(level, expected, "step {step}, {choice} from {before}");
                    let write = OpenOptions::new().append(true).open(volume.path("file"));
                    assert_eq!(write.is_ok(), level == Level::Open, "{level}");
                }
            });
        }

        #[test]
        fn an_upgrade_ends_sealed_and_the_last_close_is_reaped() {
            with_ext4(
                "an_upgrade_ends_sealed_and_the_last_close_is_reaped",
                |volume| {
                    let leases = HostLeases::new().expect("SIGIO can be ignored");
                    let seal = volume.seal();
                    let path = volume.path("libdemo.so.1");
                    fs::write(&path, "old").expect("writes");
                    let inode = fs::metadata(&path).expect("exists").ino();
                    let holder = File::open(&path).expect("opens");

                    let mount = seal.open().expect("opens");
                    let store = Store::create(HostLinks, mount.as_fd(), seal.mount_point())
                        .expect("a store");
                    let preserved = store.preserve([Candidate {
                        path: path.clone(),
                        origin: None,
                    }]);
                    assert_eq!(preserved.held, 1, "{preserved:?}");
                    replace(&path);
                    let census = store.census().expect("lists");
                    let sorted = store.sort(census, &Default::default());
                    let settled = store.settle(sorted, &leases, |_| None);
                    assert_eq!(settled.kept.len(), 1, "{settled:?}");

                    assert_eq!(
                        seal.seal().expect("seals"),
                        Level::Sealed,
                        "with the old file in use"
                    );
                    assert!(matches!(
                        store.probe(inode, &leases).expect("asks"),
                        Probe::InUse
                    ));
                    drop(holder);
                    let Probe::Free(probed) = store.probe(inode, &leases).expect("asks") else {
                        panic!("is unused")
                    };
                    let (reap, level) = seal
                        .window(|root| {
                            let store =
                                Store::open(HostLinks, root, seal.mount_point()).expect("opens");
                            store.expect("is there").unlink(probed)
                        })
                        .expect("opens");
                    assert_eq!(reap.expect("reaps"), Reap::Gone);
                    assert_eq!(
                        level.expect("closes"),
                        Level::Sealed,
                        "no orphan is left by the reap"
                    );
                    assert!(store.list().expect("lists").holds.is_empty());
                },
            );
        }

        #[test]
        fn a_file_open_in_another_mount_namespace_is_held_by_its_path() {
            with_ext4(
                "a_file_open_in_another_mount_namespace_is_held_by_its_path",
                |volume| {
                    let path = volume.path("file");
                    fs::write(&path, "").expect("writes");
                    let mut holder = Command::new("unshare")
                        .args(["--mount", "--", "sh", "-c", "exec 3<\"$0\"; echo; exec cat"])
                        .arg(&path)
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .spawn()
                        .expect("unshare(1) runs");
                    let mut newline = [0];
                    holder
                        .stdout
                        .as_mut()
                        .expect("is a pipe")
                        .read_exact(&mut newline)
                        .expect("says that it is ready");
                    let link = PathBuf::from(format!("/proc/{}/fd/3", holder.id()));

                    let mount = volume.seal().open().expect("opens");
                    let direct =
                        HostLinks.link(Source::Magic(&link), mount.as_fd(), "direct".as_ref());
                    assert_eq!(errno(direct), Some(libc::EXDEV), "the reason for this test");
                    let store = Store::create(HostLinks, mount.as_fd(), &volume.mount_point)
                        .expect("a store");
                    let preserved = store.preserve_open([link]);
                    assert_eq!(
                        (preserved.held, &preserved.names[0].path),
                        (1, &path),
                        "{preserved:?}"
                    );

                    drop(holder.stdin.take());
                    holder.wait().expect("ends");
                },
            );
        }

        #[test]
        fn an_immutable_file_is_known_as_such() {
            with_ext4("an_immutable_file_is_known_as_such", |volume| {
                let (plain, fixed) = (volume.path("plain"), volume.path("fixed"));
                for path in [&plain, &fixed] {
                    fs::write(path, "").expect("writes");
                }
                run(Command::new("chattr").arg("+i").arg(&fixed));
                let mount = volume.seal().open().expect("opens");
                let stat = |name: &str| {
                    HostLinks
                        .stat(Source::Below(mount.as_fd(), name.as_ref()))
                        .expect("stats")
                };
                assert_eq!(
                    (stat("plain").immutable, stat("fixed").immutable),
                    (false, true)
                );

                let store =
                    Store::create(HostLinks, mount.as_fd(), &volume.mount_point).expect("a store");
                let candidates = [&fixed, &plain].map(|path| Candidate {
                    path: path.clone(),
                    origin: None,
                });
                let preserved = store.preserve(candidates);
                assert_eq!(
                    (preserved.held, preserved.skipped.len()),
                    (1, 1),
                    "{preserved:?}"
                );
                assert!(
                    preserved.skipped[0].to_string().contains("lsattr"),
                    "{}",
                    preserved.skipped[0]
                );
            });
        }
    }
}
