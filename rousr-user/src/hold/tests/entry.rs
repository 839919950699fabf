//! Taking over the directory entry that a holder uses.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;

use super::faulty::{Call, Faulty};
use super::{Sandbox, inode};

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
