//! Each kind against the kernel of this machine. A kind that the machine lacks is told and left out.

mod root {
    use std::{
        fs::{self, File},
        io,
        os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
        path::{Path, PathBuf},
        thread,
    };

    use crate::{
        kinds::{Holder, Kind, Pin, wait_for_exec},
        truth::nobody_uses,
    };

    fn file_for(kind: Kind, folder: &Path) -> PathBuf {
        let path = folder.join(kind.name());
        let needs = kind.needs();
        fs::write(&path, needs.content(1).expect("a content")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(needs.mode())).expect("permitted");
        wait_for_exec();
        path
    }

    /// What this machine cannot do: no module, another filesystem.
    fn lacking(kind: Kind, error: &io::Error) -> bool {
        let codes: &[i32] = match kind {
            Kind::Loop | Kind::OverlayLower => &[libc::ENODEV, libc::ENOENT],
            Kind::Swap => &[libc::EINVAL, libc::ENOSYS, libc::EPERM],
            _ => &[],
        };
        error
            .raw_os_error()
            .is_some_and(|code| codes.contains(&code))
    }

    fn hold(kind: Kind, path: &Path) -> Option<Holder> {
        match kind.hold(path) {
            Ok(holder) => Some(holder),
            Err(error) if lacking(kind, &error) => {
                eprintln!("{}: not on this machine: {error}", kind.name());
                None
            }
            Err(error) => panic!("{}: {error}", kind.name()),
        }
    }

    #[track_caller]
    fn assert_unused(kind: Kind, path: &Path) {
        let unused = nobody_uses(path).expect("a lease");
        assert!(unused, "{} holds {}", kind.name(), path.display());
    }

    /// Holds the file of each kind by what `name_of` makes of its path, which lives until it is held.
    fn check_each<N: AsRef<Path>>(kinds: impl Iterator<Item = Kind>, name_of: impl Fn(&Path) -> N) {
        let folder = tempfile::tempdir().expect("a folder");
        for kind in kinds {
            let path = file_for(kind, folder.path());
            assert_unused(kind, &path);
            let name = name_of(&path);
            let Some(holder) = hold(kind, name.as_ref()) else {
                continue;
            };
            drop(name);
            wait_for_exec();
            let used = !nobody_uses(&path).expect("a lease");
            assert_eq!(used, holder.counts().files > 0, "{holder:?}");
            drop(holder);
            assert_unused(kind, &path);
        }
    }

    #[test]
    fn the_kernel_sees_each_kind_until_it_is_dropped() {
        check_each(Kind::ALL.into_iter(), Path::to_owned);
    }

    #[test]
    fn each_kind_holds_through_a_descriptor() {
        let kinds = Kind::ALL.into_iter().filter(|&kind| kind != Kind::Swap);
        check_each(kinds, Descriptor::of);
    }

    /// The name of an open file.
    struct Descriptor {
        _file: File,
        link: PathBuf,
    }

    impl Descriptor {
        fn of(path: &Path) -> Self {
            let file = File::open(path).expect("opens");
            let link = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
            Self { _file: file, link }
        }
    }

    impl AsRef<Path> for Descriptor {
        fn as_ref(&self) -> &Path {
            &self.link
        }
    }

    #[test]
    fn threads_that_start_programs_do_not_delay_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let kinds = Kind::ALL.into_iter();
        thread::scope(|scope| {
            for kind in kinds.filter(|kind| !matches!(kind, Kind::Swap | Kind::Loop)) {
                let path = file_for(kind, folder.path());
                scope.spawn(move || {
                    for _ in 0..10 {
                        drop(hold(kind, &path));
                        assert_unused(kind, &path);
                    }
                });
            }
        });
    }

    /// A pinned file that has lost its name keeps its inode, which a lease does not tell.
    #[test]
    fn pins_are_not_seen_by_leases() {
        let folder = tempfile::tempdir().expect("a folder");
        for pin in Pin::ALL {
            let path = folder.path().join(pin.name());
            fs::write(&path, "pinned").expect("written");
            wait_for_exec();
            let Ok(pinned) = pin.hold(&path) else {
                eprintln!("{}: not on this machine", pin.name());
                continue;
            };
            assert!(nobody_uses(&path).expect("a lease"), "{pinned:?}");
        }
    }
}
