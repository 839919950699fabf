//! Which candidates get a hold, and what is said of those that do not.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;

use super::faulty::{Call, Faulty};
use super::{Sandbox, inode, origin};
use crate::hold::preserve::Reason;
use crate::hold::{Candidate, Preserved};

#[test]
fn an_inode_gets_one_hold_whatever_its_names() {
    let sandbox = Sandbox::new();
    let (a, b) = (sandbox.file("a"), sandbox.file("b"));
    fs::hard_link(sandbox.path("a"), sandbox.path("a2")).expect("links");
    let preserved = sandbox
        .store()
        .preserve(sandbox.candidates(&["a", "a2", "b"]));

    assert_eq!((preserved.held, preserved.already), (2, 1));
    assert_eq!(
        preserved
            .names
            .iter()
            .map(|name| name.inode)
            .collect::<Vec<_>>(),
        [a, a, b]
    );
    assert!(preserved.bytes > 0);
    let mut expected = vec![a, b];
    expected.sort_unstable();
    assert_eq!(sandbox.holds(), expected);

    let again = sandbox.store().preserve(sandbox.candidates(&["a", "b"]));
    assert_eq!((again.held, again.already, again.bytes), (0, 2, 0));
}

#[test]
fn what_is_no_file_of_the_volume_is_ignored() {
    let sandbox = Sandbox::new();
    sandbox.file("a");
    symlink("a", sandbox.path("link")).expect("links");
    fs::create_dir(sandbox.path("dir")).expect("creates");
    let mut candidates = sandbox.candidates(&["link", "dir", "gone", "gone/too", "a/below"]);
    candidates.push(Candidate {
        path: "/proc/version".into(),
        origin: None,
    });
    let preserved = sandbox.store().preserve(candidates);

    assert_eq!(
        (preserved.held, preserved.ignored, preserved.vanished),
        (0, 3, 3)
    );
    assert!(preserved.skipped.is_empty() && preserved.stopped.is_none());
    assert!(sandbox.holds().is_empty());
}

#[test]
fn a_symlinked_directory_leads_to_the_file() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("usr/lib")).expect("creates");
    symlink("usr/lib", sandbox.path("lib")).expect("links");
    let file = sandbox.file("usr/lib/x.so");
    let candidate = Candidate {
        path: sandbox.path("lib/x.so"),
        origin: Some(origin()),
    };
    let preserved = sandbox.store().preserve([candidate.clone()]);
    assert_eq!(preserved.names[0].inode, file);
    assert_eq!(
        (&preserved.names[0].path, &preserved.names[0].origin),
        (&candidate.path, &candidate.origin)
    );
}

fn preserve_with(sandbox: &Sandbox, links: Faulty) -> Preserved {
    for name in ["a", "b", "c"] {
        sandbox.file(name);
    }
    sandbox
        .store_with(links)
        .preserve(sandbox.candidates(&["a", "b", "c"]))
}

#[test]
fn what_fails_for_all_is_one_error_with_the_number_left() {
    let cases = [
        (libc::ENOSPC, "make room"),
        (libc::EDQUOT, "quota"),
        (libc::EROFS, "read-only"),
        (libc::EPERM, "no hard links"),
        (libc::EOPNOTSUPP, "no hard links"),
    ];
    for (errno, next_step) in cases {
        let preserved = preserve_with(&Sandbox::new(), Faulty::failing(Call::Link, errno));
        let stopped = preserved.stopped.expect("stops");
        assert_eq!(
            (stopped.left, preserved.held, preserved.skipped.len()),
            (3, 0, 0),
            "{errno}"
        );
        let told = stopped.to_string();
        assert!(
            told.contains("3 files") && told.contains(next_step),
            "{told}"
        );
    }
}

#[test]
fn a_full_disk_keeps_the_holds_made_before() {
    let full_at_b =
        |call, name: &std::ffi::OsStr| (call == Call::Link && name == "b").then_some(libc::ENOSPC);
    let sandbox = Sandbox::new();
    let preserved = preserve_with(&sandbox, Faulty::new(full_at_b));
    assert_eq!(
        (preserved.held, preserved.stopped.expect("stops").left),
        (1, 2)
    );
    assert_eq!(sandbox.holds(), [inode(&sandbox.path("a"))]);
}

type IsExpected = fn(&Reason) -> bool;

#[test]
fn what_fails_for_one_is_told_and_the_others_are_held() {
    let cases: [(i32, IsExpected, &str); 4] = [
        (
            libc::EXDEV,
            |reason| matches!(reason, Reason::OtherMount),
            "another mount",
        ),
        (
            libc::EMLINK,
            |reason| matches!(reason, Reason::TooManyLinks),
            "too many hard links",
        ),
        (
            libc::EPERM,
            |reason| matches!(reason, Reason::Failed(_)),
            "not permitted",
        ),
        (
            libc::EIO,
            |reason| matches!(reason, Reason::Failed(_)),
            "error",
        ),
    ];
    for (errno, is_expected, told) in cases {
        let at_b = move |call, name: &std::ffi::OsStr| {
            (call == Call::Link && name == "b").then_some(errno)
        };
        let sandbox = Sandbox::new();
        let preserved = preserve_with(&sandbox, Faulty::new(at_b));
        assert_eq!((preserved.held, preserved.skipped.len()), (2, 1), "{errno}");
        let skipped = &preserved.skipped[0];
        assert!(is_expected(&skipped.reason), "{skipped}");
        assert_eq!(skipped.path, sandbox.path("b"));
        assert!(skipped.to_string().contains(told), "{skipped}");
    }
}

#[test]
fn an_immutable_first_file_does_not_stop_the_others() {
    let at_a =
        |call, name: &std::ffi::OsStr| (call == Call::Link && name == "a").then_some(libc::EPERM);
    let preserved = preserve_with(
        &Sandbox::new(),
        Faulty {
            immutable: "a",
            ..Faulty::new(at_a)
        },
    );
    assert!(
        matches!(preserved.skipped[0].reason, Reason::Immutable),
        "{:?}",
        preserved.skipped
    );
    assert_eq!((preserved.held, preserved.stopped.is_none()), (2, true));
}

#[test]
fn a_path_that_vanishes_in_between_is_no_error() {
    let sandbox = Sandbox::new();
    let victim = sandbox.path("b");
    let links = Faulty::new(move |call, name| {
        if call == Call::Link && name == "b" {
            fs::remove_file(&victim).expect("removes");
        }
        None
    });
    let preserved = preserve_with(&sandbox, links);
    assert_eq!((preserved.held, preserved.vanished), (2, 1));
    assert!(preserved.skipped.is_empty() && preserved.stopped.is_none());
}

/// Replaces `b` before each of the first `times` links to it.
fn replacing(sandbox: &Sandbox, times: usize) -> Faulty {
    let (victim, new) = (sandbox.path("b"), sandbox.path("b.new"));
    let left = Cell::new(times);
    Faulty::new(move |call, name| {
        if call == Call::Link && name == "b" && left.get() > 0 {
            left.set(left.get() - 1);
            fs::write(&new, "new").expect("writes");
            fs::rename(&new, &victim).expect("renames");
        }
        None
    })
}

#[test]
fn a_file_replaced_in_between_is_held_as_it_is_now() {
    let sandbox = Sandbox::new();
    let preserved = preserve_with(&sandbox, replacing(&sandbox, 1));
    assert_eq!((preserved.held, preserved.skipped.len()), (3, 0));
    assert!(sandbox.holds().contains(&inode(&sandbox.path("b"))));
}

#[test]
fn where_the_hold_directory_cannot_be_listed_each_hold_is_looked_at() {
    let sandbox = Sandbox::new();
    let replacing = replacing(&sandbox, 1);
    let interfere = Faulty::new(move |call, name| match call {
        Call::Names => Some(libc::EIO),
        _ => (replacing.interfere)(call, name),
    });
    let preserved = preserve_with(&sandbox, interfere);
    assert_eq!((preserved.held, preserved.skipped.len()), (3, 0));
    let mut expected = ["a", "b", "c"].map(|name| inode(&sandbox.path(name)));
    expected.sort_unstable();
    assert_eq!(sandbox.holds(), expected);
}

#[test]
fn a_file_replaced_again_and_again_is_told_and_leaves_no_stray() {
    let sandbox = Sandbox::new();
    let preserved = preserve_with(&sandbox, replacing(&sandbox, usize::MAX));
    assert!(
        matches!(preserved.skipped[0].reason, Reason::Changing),
        "{:?}",
        preserved.skipped
    );
    let listing = sandbox.store().list().expect("lists");
    assert_eq!((listing.holds.len(), listing.strays.len()), (2, 0));
}

#[test]
fn a_hold_whose_name_is_taken_is_told() {
    let sandbox = Sandbox::new();
    sandbox.store();
    let a = sandbox.file("a");
    fs::write(sandbox.hold_path(a), "somebody else's").expect("writes");
    let preserved = sandbox.store().preserve(sandbox.candidates(&["a"]));
    assert!(matches!(preserved.skipped[0].reason, Reason::Occupied(inode) if inode == a));
    assert_eq!(
        fs::read(sandbox.hold_path(a)).expect("reads"),
        b"somebody else's"
    );
}

#[test]
fn a_directory_that_cannot_be_resolved_is_told() {
    let preserved = preserve_with(&Sandbox::new(), Faulty::failing(Call::Resolve, libc::ELOOP));
    assert_eq!((preserved.held, preserved.skipped.len()), (0, 3));
}
