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
        kinds::{Counts, Holder, Kind, Pin, wait_for_exec},
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

    fn seen_by_leases(counts: Counts) -> bool {
        counts.files > 0
    }

    #[test]
    fn the_kernel_sees_each_kind_until_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        for kind in Kind::ALL {
            let path = file_for(kind, folder.path());
            assert!(nobody_uses(&path).expect("a lease"), "{}", kind.name());
            let Some(holder) = hold(kind, &path) else {
                continue;
            };
            let used = !nobody_uses(&path).expect("a lease");
            assert_eq!(used, seen_by_leases(holder.counts()), "{holder:?}");
            drop(holder);
            assert!(
                nobody_uses(&path).expect("a lease"),
                "{} is left",
                kind.name()
            );
        }
    }

    #[test]
    fn each_kind_holds_through_a_descriptor() {
        let folder = tempfile::tempdir().expect("a folder");
        for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Swap) {
            let path = file_for(kind, folder.path());
            let file = File::open(&path).expect("opens");
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let Some(holder) = hold(kind, Path::new(&link)) else {
                continue;
            };
            drop(file);
            wait_for_exec();
            let used = !nobody_uses(&path).expect("a lease");
            assert_eq!(used, seen_by_leases(holder.counts()), "{holder:?}");
            drop(holder);
            assert!(
                nobody_uses(&path).expect("a lease"),
                "{} is left",
                kind.name()
            );
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
                        assert!(
                            nobody_uses(&path).expect("a lease"),
                            "{} is left",
                            kind.name()
                        );
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
