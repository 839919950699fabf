//! Holds for what processes have open, by the links in /proc.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::PathBuf;

use super::{Sandbox, entries, inode};

fn magic(fd: RawFd) -> PathBuf {
    format!("/proc/self/fd/{fd}").into()
}

#[test]
fn an_open_file_is_held_under_its_path() {
    let sandbox = Sandbox::new();
    let a = sandbox.file("a");
    let file = File::open(sandbox.path("a")).expect("opens");
    let preserved = sandbox
        .store()
        .preserve_open([magic(file.as_raw_fd()), magic(file.as_raw_fd())]);
    assert_eq!((preserved.held, preserved.ignored), (1, 1));
    assert_eq!(
        (preserved.names[0].inode, &preserved.names[0].path),
        (a, &sandbox.path("a"))
    );
    assert_eq!(sandbox.holds(), [a]);
}

#[test]
fn a_file_whose_name_now_means_another_is_held_by_its_other_name() {
    let sandbox = Sandbox::new();
    let a = sandbox.file("a");
    let file = File::open(sandbox.path("a")).expect("opens");
    fs::hard_link(sandbox.path("a"), sandbox.path("a.dpkg-tmp")).expect("links");
    sandbox.replace("a");
    let preserved = sandbox.store().preserve_open([magic(file.as_raw_fd())]);
    assert_eq!((preserved.held, preserved.names[0].inode), (1, a));
    assert_ne!(inode(&sandbox.path("a")), a);
}

/// Where an interrupted run has left it: the next one removes it.
#[test]
fn a_name_that_goes_by_itself_is_not_the_one_to_drop_a_hold_for() {
    let sandbox = Sandbox::new();
    let a = sandbox.file("a.dpkg-tmp");
    let file = File::open(sandbox.path("a.dpkg-tmp")).expect("opens");
    let preserved = sandbox.store().preserve_open([magic(file.as_raw_fd())]);
    assert_eq!(
        (preserved.names[0].inode, &preserved.names[0].path),
        (a, &sandbox.path("a"))
    );
    let store = sandbox.store();
    let sorted = store.sort(store.census().expect("lists"), &entries(preserved.names));
    assert!(sorted.named.is_empty());
}

#[test]
fn a_name_that_ends_like_a_deleted_one_is_taken_by_its_inode() {
    let sandbox = Sandbox::new();
    let a = sandbox.file("a (deleted)");
    sandbox.file("a");
    let file = File::open(sandbox.path("a (deleted)")).expect("opens");
    let preserved = sandbox.store().preserve_open([magic(file.as_raw_fd())]);
    assert_eq!(preserved.names[0].inode, a);
    assert_eq!(sandbox.holds(), [a]);
}

#[test]
fn an_orphan_cannot_be_held_and_is_told() {
    let sandbox = Sandbox::new();
    let a = sandbox.file("a");
    let file = File::open(sandbox.path("a")).expect("opens");
    fs::remove_file(sandbox.path("a")).expect("removes");
    let preserved = sandbox.store().preserve_open([magic(file.as_raw_fd())]);
    assert_eq!((preserved.orphans, preserved.held), (vec![a], 0));
}

#[test]
fn other_filesystems_and_ended_processes_are_passed_over() {
    let sandbox = Sandbox::new();
    let proc = File::open("/proc/version").expect("opens");
    let preserved = sandbox
        .store()
        .preserve_open([magic(proc.as_raw_fd()), "/proc/self/fd/99999".into()]);
    assert_eq!(
        (preserved.ignored, preserved.vanished, preserved.held),
        (1, 1, 0)
    );
}
