//! Finding, making, refusing and listing the hold directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::faulty::{Call, Faulty};
use super::{DIRECTORY, Sandbox};
use crate::hold::{Error, Store};
use crate::sys::links::HostLinks;

#[test]
fn there_is_none_until_one_is_made() {
    let sandbox = Sandbox::new();
    let store = Store::open(HostLinks, sandbox.root(), &sandbox.mount_point).expect("looks");
    assert!(store.is_none());
    for _ in 0..2 {
        assert!(sandbox.store().list().expect("lists").holds.is_empty());
    }
    let mode = fs::metadata(sandbox.path(DIRECTORY))
        .expect("exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o700);
}

type Make<'a> = &'a dyn Fn(&Sandbox);

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let mode = |mode| {
        move |sandbox: &Sandbox| {
            fs::create_dir(sandbox.path(DIRECTORY)).expect("creates");
            fs::set_permissions(sandbox.path(DIRECTORY), Permissions::from_mode(mode))
                .expect("changes");
        }
    };
    let cases: [(Make<'_>, &str); 5] = [
        (
            &|sandbox| fs::write(sandbox.path(DIRECTORY), "").expect("writes"),
            "a regular file",
        ),
        (
            &|sandbox| symlink("/tmp", sandbox.path(DIRECTORY)).expect("links"),
            "a symbolic link",
        ),
        (
            &|sandbox| symlink("dangling", sandbox.path(DIRECTORY)).expect("links"),
            "a symbolic link",
        ),
        (&mode(0o755), "others may enter (mode 0755)"),
        (&mode(0o1770), "others may enter (mode 1770)"),
    ];
    for (make, what) in cases {
        let sandbox = Sandbox::new();
        make(&sandbox);
        let before = fs::symlink_metadata(sandbox.path(DIRECTORY)).expect("exists");
        let error = Store::create(HostLinks, sandbox.root(), &sandbox.mount_point).expect_err(what);
        assert!(matches!(error, Error::NotOurs { .. }), "{error}");
        let told = error.to_string();
        assert!(
            told.contains(what) && told.starts_with(&*sandbox.path(DIRECTORY).to_string_lossy()),
            "{told}"
        );
        let after = fs::symlink_metadata(sandbox.path(DIRECTORY)).expect("still exists");
        assert_eq!(after.permissions(), before.permissions());
    }
}

#[test]
fn a_failed_call_is_told_with_the_next_step() {
    let cases = [
        (Call::MakeDir, libc::EROFS, "make", "unsealed"),
        (Call::MakeDir, libc::ENOSPC, "make", "make room"),
        (Call::OpenDir, libc::EACCES, "open", "root"),
        (Call::StatOpen, libc::EIO, "look at", "dmesg"),
    ];
    for (call, errno, what, next_step) in cases {
        let sandbox = Sandbox::new();
        let links = Faulty::failing(call, errno);
        let told = Store::create(links, sandbox.root(), &sandbox.mount_point)
            .err()
            .expect("fails")
            .to_string();
        assert!(told.contains(what) && told.contains(next_step), "{told}");
    }
}

#[test]
fn strays_are_told_and_never_touched() {
    let sandbox = Sandbox::new();
    let inode = sandbox.file("a");
    sandbox.store().preserve(sandbox.candidates(&["a"]));
    let stray = |name: &str| sandbox.path(DIRECTORY).join(name);
    fs::write(stray("7"), "").expect("writes");
    fs::write(stray("notes"), "").expect("writes");
    fs::create_dir(stray("8")).expect("creates");
    symlink("7", stray("9")).expect("links");

    let listing = sandbox.store().list().expect("lists");
    assert_eq!(
        listing
            .holds
            .iter()
            .map(|hold| (hold.inode, hold.stat.links))
            .collect::<Vec<_>>(),
        [(inode, 2)]
    );
    let mut told: Vec<String> = listing.strays.iter().map(ToString::to_string).collect();
    told.sort();
    let expected = [
        ".rousr/7: its name is another inode's number; it is left alone: move it away",
        ".rousr/8: it is not a regular file; it is left alone: move it away",
        ".rousr/9: it is not a regular file; it is left alone: move it away",
        ".rousr/notes: its name is not an inode number; it is left alone: move it away",
    ];
    assert_eq!(told, expected);
    let census = sandbox.store().census().expect("lists");
    assert_eq!(census.inodes, [inode]);
    let mut told: Vec<String> = census.strays.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told, expected);
    for name in ["7", "8", "9", "notes"] {
        assert!(fs::symlink_metadata(stray(name)).is_ok(), "{name}");
    }
}
