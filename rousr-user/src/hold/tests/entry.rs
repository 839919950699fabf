//! Taking over the directory entry that a holder uses.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::faulty::{Call, Faulty};
use super::{Sandbox, inode};
use crate::hold::interrupted;
use crate::hold::ledger::Entries;

/// A file in a directory of its own, open and with a hold.
fn held_file(sandbox: &Sandbox) -> (File, u64) {
    fs::create_dir(sandbox.path("dir")).expect("creates");
    let number = sandbox.file("dir/file");
    sandbox.store().preserve(sandbox.candidates(&["dir/file"]));
    (File::open(sandbox.path("dir/file")).expect("opens"), number)
}

#[test]
fn the_holder_is_in_the_store_and_the_name_stays() {
    let sandbox = Sandbox::new();
    let (file, number) = held_file(&sandbox);
    let path = sandbox.path("dir/file");
    let taken = sandbox.store().take_entry(number, &path);
    assert!(taken.expect("no call fails"));

    let seen = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("open");
    assert_eq!(seen, sandbox.hold_path(number));
    assert_eq!(inode(&path), number);
    assert_eq!(sandbox.holds(), [number]);
    let listing = sandbox.store().list().expect("lists");
    assert!(listing.strays.is_empty(), "{:?}", listing.strays);
}

#[test]
fn a_name_that_leads_elsewhere_is_left_alone() {
    let sandbox = Sandbox::new();
    let (_file, number) = held_file(&sandbox);
    sandbox.replace("dir/file");
    let new = inode(&sandbox.path("dir/file"));
    for path in ["dir/file", "dir/gone", "gone/file"] {
        let taken = sandbox.store().take_entry(number, &sandbox.path(path));
        assert!(!taken.expect("no call fails"), "{path}");
    }
    assert_eq!(inode(&sandbox.path("dir/file")), new);
    assert_eq!(sandbox.holds(), [number]);
}

#[test]
fn whatever_fails_the_file_keeps_its_name() {
    for (call, at) in [
        (Call::Symlink, ".entry"),
        (Call::Exchange, ""),
        (Call::Rename, ""),
        (Call::Rename, ".entry"),
    ] {
        let sandbox = Sandbox::new();
        let (_file, number) = held_file(&sandbox);
        let failing = format!("{number}{at}");
        let path = sandbox.path("dir/file");
        let faulty = Faulty::new(move |made, name| {
            let meant = made == call && (call == Call::Exchange || name == failing.as_str());
            meant.then_some(libc::EIO)
        });
        let error = sandbox
            .store_with(faulty)
            .take_entry(number, &path)
            .expect_err("a call fails");
        assert!(error.to_string().contains(&number.to_string()), "{error}");
        assert_eq!(inode(&path), number, "{call:?} {at}");
        assert!(!fs::symlink_metadata(&path).expect("exists").is_symlink());
    }
}

/// Calls that change nothing any more after the first so many that change something, as with a power
/// cut or a kill.
fn dying(calls: usize) -> Faulty {
    const CHANGES: [Call; 5] = [
        Call::Link,
        Call::Symlink,
        Call::Rename,
        Call::Exchange,
        Call::Unlink,
    ];
    let made = AtomicUsize::new(0);
    Faulty::new(move |call, _| {
        let dies = CHANGES.contains(&call) && made.fetch_add(1, Ordering::Relaxed) >= calls;
        dies.then_some(libc::EIO)
    })
}

/// As an agent does it that starts.
fn resume(sandbox: &Sandbox, links: Faulty, known: &Entries) {
    let store = sandbox.store_with(links);
    for inode in interrupted(&store.list().expect("lists").strays) {
        // Where it dies another one comes.
        let _ = store.resume_taking(inode, known);
    }
}

#[test]
fn a_crash_at_any_step_and_another_while_it_is_put_right_leak_nothing() {
    const NEVER: usize = usize::MAX;
    for first in 0..4 {
        for second in [0, 1, 2, 3, NEVER] {
            for known in [false, true] {
                for removed in [false, true] {
                    let sandbox = Sandbox::new();
                    let (file, number) = held_file(&sandbox);
                    let path = sandbox.path("dir/file");
                    let entries = match known {
                        true => super::entries([crate::hold::preserve::Name {
                            inode: number,
                            path: path.clone(),
                            origin: None,
                        }]),
                        false => Entries::new(),
                    };
                    let taken = sandbox.store_with(dying(first)).take_entry(number, &path);
                    taken.expect_err("dies");
                    if removed {
                        fs::remove_file(&path).expect("dpkg goes on");
                    }
                    resume(&sandbox, dying(second), &entries);
                    resume(&sandbox, dying(NEVER), &entries);

                    let case = format!("{first} {second} known {known} removed {removed}");
                    let listing = sandbox.store().list().expect("lists");
                    assert!(listing.strays.is_empty(), "{case}: {:?}", listing.strays);
                    assert_eq!(sandbox.holds(), [number], "{case}");
                    let links = 1 + u64::from(!removed);
                    assert_eq!(listing.holds[0].stat.links, links, "{case}");
                    if !removed {
                        assert!(!fs::symlink_metadata(&path).expect("exists").is_symlink());
                        assert_eq!(inode(&path), number, "{case}");
                    }
                    drop(file);
                }
            }
        }
    }
}

#[test]
fn what_only_looks_like_a_move_is_left_alone() {
    let sandbox = Sandbox::new();
    let (_file, number) = held_file(&sandbox);
    let stray = sandbox.hold_path(number).with_extension("entry");
    fs::write(&stray, "mine").expect("writes");
    resume(&sandbox, dying(usize::MAX), &Entries::new());
    assert_eq!(fs::read(&stray).expect("is there"), b"mine");
    assert_eq!(sandbox.holds(), [number]);
}
