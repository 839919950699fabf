//! Holds for files that are told by their number and a path.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::faulty::{Call, Faulty};
use super::{Sandbox, entries, inode};
use crate::hold::Caught;

/// What one file leads to, by the number and the path that the kernel tells.
fn catch(sandbox: &Sandbox, inode: u64, path: &Path) -> Caught {
    sandbox.store().preserve_opened([(inode, Some(path))])
}

#[test]
fn a_path_that_leads_to_the_inode_makes_a_hold_and_once_is_enough() {
    let sandbox = Sandbox::new();
    let a = sandbox.file("a");
    let caught = catch(&sandbox, a, &sandbox.path("a"));
    let names: Vec<(u64, PathBuf)> = (caught.names.into_iter())
        .map(|name| (name.inode, name.path))
        .collect();
    assert_eq!(names, [(a, sandbox.path("a"))]);
    assert_eq!(sandbox.holds(), [a]);

    let again = catch(&sandbox, a, &sandbox.path("a"));
    assert_eq!(
        (again.names.len(), again.already, again.missed),
        (0, 1, 0),
        "what the ledger says of it stays"
    );
}

#[test]
fn an_inode_that_its_path_does_not_lead_to_is_missed() {
    let sandbox = Sandbox::new();
    let (replaced, removed) = (sandbox.file("replaced"), sandbox.file("removed"));
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = elsewhere.path().join("other");
    fs::write(&other, "").expect("writes");
    symlink(&other, sandbox.path("link")).expect("links");
    fs::create_dir(sandbox.path("folder")).expect("creates");
    sandbox.replace("replaced");
    fs::remove_file(sandbox.path("removed")).expect("removes");
    let told = [
        (replaced, Some(sandbox.path("replaced"))),
        (removed, Some(sandbox.path("removed"))),
        (inode(&other), Some(other.clone())),
        (inode(&other), Some(sandbox.path("link"))),
        (inode(&sandbox.path("folder")), Some(sandbox.path("folder"))),
        (7, None),
    ];
    let opened = told.iter().map(|(inode, path)| (*inode, path.as_deref()));
    let caught = sandbox.store().preserve_opened(opened);
    assert_eq!(
        (caught.names.len(), caught.already, caught.missed),
        (0, 0, 6)
    );
    assert!(sandbox.holds().is_empty());
}

#[test]
fn what_the_filesystem_refuses_is_missed_and_the_next_is_not() {
    let sandbox = Sandbox::new();
    let (a, b) = (sandbox.file("a"), sandbox.file("b"));
    let links =
        Faulty::new(|call, name| (call == Call::Link && name == "a").then_some(libc::EMLINK));
    let (path_a, path_b) = (sandbox.path("a"), sandbox.path("b"));
    let caught = sandbox
        .store_with(links)
        .preserve_opened([(a, Some(path_a.as_path())), (b, Some(path_b.as_path()))]);
    assert_eq!((caught.names.len(), caught.missed), (1, 1));
    assert_eq!(sandbox.holds(), [b]);
}

/// dpkg's passing names are none: what stays is the name before, or after.
#[test]
fn a_name_that_goes_by_itself_keeps_nothing() {
    for suffix in [".dpkg-new", ".dpkg-tmp"] {
        let sandbox = Sandbox::new();
        let passing = format!("a{suffix}");
        let a = sandbox.file(&passing);
        let caught = catch(&sandbox, a, &sandbox.path(&passing));
        assert_eq!(caught.names[0].path, sandbox.path("a"));

        let store = sandbox.store();
        let known = entries(caught.names);
        let sorted = store.sort(store.census().expect("lists"), &known);
        assert!(
            sorted.named.is_empty(),
            "{suffix} is no name to drop it for"
        );
        fs::rename(sandbox.path(&passing), sandbox.path("a")).expect("renames");
        let sorted = store.sort(store.census().expect("lists"), &known);
        assert_eq!(sorted.named, [a], "{suffix}");
    }
}
