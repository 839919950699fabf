//! What becomes of holds after dpkg, and when their last holder goes.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::faulty::{Call, Faulty};
use super::{Sandbox, entries, inode};
use crate::hold::ledger::Entries;
use crate::hold::{Error, Probe, Reap, Settled};
use crate::sys::lease::{HostLeases, Leases};

fn leases() -> HostLeases {
    HostLeases::new().expect("SIGIO can be ignored")
}

/// A sandbox with held files `a`, `b` and `c`, and what a ledger would say of them.
fn held() -> (Sandbox, Entries) {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.file(name);
    }
    let preserved = sandbox
        .store()
        .preserve(sandbox.candidates(&["a", "b", "c"]));
    let entries = entries(preserved.names);
    (sandbox, entries)
}

fn settle(sandbox: &Sandbox, entries: &Entries, count: impl Fn(u64) -> Option<u64>) -> Settled {
    Sandbox::settle(&sandbox.store(), entries, &leases(), count)
}

fn inodes(holds: &[crate::hold::Hold]) -> Vec<u64> {
    holds.iter().map(|hold| hold.inode).collect()
}

#[test]
fn drops_the_untouched_reaps_the_unused_keeps_the_used() {
    let (sandbox, entries) = held();
    let [a, b, c] = ["a", "b", "c"].map(|name| inode(&sandbox.path(name)));
    let _holder = File::open(sandbox.path("c")).expect("opens");
    sandbox.replace("b");
    sandbox.replace("c");

    let settled = settle(&sandbox, &entries, |_| None);
    assert_eq!(
        (settled.dropped, settled.reaped, inodes(&settled.kept)),
        (vec![a], vec![b], vec![c])
    );
    assert!(settled.failed.is_empty());
    assert_eq!(sandbox.holds(), [c]);
}

#[test]
fn of_many_files_in_a_directory_those_that_lost_their_name_stay() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..60).map(|number| format!("file-{number:02}")).collect();
    let inodes_of: Vec<u64> = names.iter().map(|name| sandbox.file(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let preserved = sandbox.store().preserve(sandbox.candidates(&names));
    let entries = entries(preserved.names);
    for (number, name) in names.iter().enumerate() {
        match number % 5 {
            1 => sandbox.replace(name),
            2 => fs::remove_file(sandbox.path(name)).expect("removes"),
            // Another one's name now.
            3 => fs::hard_link(sandbox.path(names[0]), sandbox.path("moved"))
                .and_then(|()| fs::rename(sandbox.path("moved"), sandbox.path(name)))
                .expect("moves"),
            _ => {}
        }
    }

    let settled = settle(&sandbox, &entries, |_| Some(1));
    let (lost, named): (Vec<usize>, Vec<usize>) =
        (0..names.len()).partition(|number| matches!(number % 5, 1..=3));
    let of = |numbers: Vec<usize>| -> Vec<u64> {
        let mut inodes: Vec<u64> = numbers.iter().map(|&number| inodes_of[number]).collect();
        inodes.sort_unstable();
        inodes
    };
    assert_eq!(inodes(&settled.kept), of(lost));
    assert_eq!(settled.dropped, of(named));
}

/// As ledgers of a file whose name a removed package took may say.
#[test]
fn a_holds_own_name_is_none_to_drop_it_for() {
    let (sandbox, mut entries) = held();
    let a = inode(&sandbox.path("a"));
    for name in &mut entries.get_mut(&a).expect("is known").names {
        name.path = sandbox.hold_path(a);
    }
    // A name that the ledger does not know.
    let settled = settle(&sandbox, &entries, |inode| (inode == a).then_some(1));
    assert_eq!(inodes(&settled.kept), [a]);
}

#[test]
fn a_zero_count_is_not_believed_against_the_kernel() {
    let (sandbox, entries) = held();
    let a = inode(&sandbox.path("a"));
    let _holder = File::open(sandbox.path("a")).expect("opens");
    sandbox.replace("a");
    let settled = settle(&sandbox, &entries, |_| Some(0));
    assert_eq!(inodes(&settled.kept), [a]);
}

#[test]
fn a_tracked_holder_keeps_a_hold_without_a_probe() {
    struct NoProbe;
    impl Leases for NoProbe {
        fn sole_opener(&self, _: BorrowedFd<'_>) -> io::Result<bool> {
            panic!("probed")
        }
    }
    let (sandbox, entries) = held();
    let a = inode(&sandbox.path("a"));
    sandbox.replace("a");
    let settled = Sandbox::settle(&sandbox.store(), &entries, &NoProbe, |_| Some(1));
    assert_eq!(inodes(&settled.kept), [a]);
}

#[test]
fn without_a_ledger_the_untouched_stay_until_a_tracker_knows_them_unused() {
    let (sandbox, _) = held();
    assert_eq!(settle(&sandbox, &Entries::new(), |_| None).kept.len(), 3);
    assert_eq!(
        settle(&sandbox, &Entries::new(), |_| Some(0)).dropped.len(),
        3
    );
    for name in ["a", "b", "c"] {
        assert_eq!(
            fs::read(sandbox.path(name)).expect("is there"),
            name.as_bytes()
        );
    }
}

#[test]
fn set_id_bits_go_once_the_inode_is_only_ours() {
    let (sandbox, entries) = held();
    let mode = |path| fs::metadata(path).expect("exists").mode() & 0o7777;
    let (a, b) = (inode(&sandbox.path("a")), inode(&sandbox.path("b")));
    for name in ["a", "b"] {
        fs::set_permissions(sandbox.path(name), Permissions::from_mode(0o6755)).expect("changes");
    }
    let _holders = ["a", "b"].map(|name| File::open(sandbox.path(name)).expect("opens"));
    // dpkg was interrupted before it removed a's backup.
    fs::hard_link(sandbox.path("a"), sandbox.path("a.dpkg-tmp")).expect("links");
    sandbox.replace("a");
    sandbox.replace("b");

    settle(&sandbox, &entries, |_| Some(1));
    assert_eq!(
        (mode(sandbox.hold_path(a)), mode(sandbox.hold_path(b))),
        (0o6755, 0o755)
    );
    fs::remove_file(sandbox.path("a.dpkg-tmp")).expect("removes");
    settle(&sandbox, &entries, |_| Some(1));
    assert_eq!(mode(sandbox.hold_path(a)), 0o755);
}

#[test]
fn a_hold_that_fails_is_told_and_stays_and_the_others_go_on() {
    let (sandbox, entries) = held();
    let b = inode(&sandbox.path("b"));
    let name = b.to_string();
    let links = Faulty::new(move |call, found| {
        (call == Call::Unlink && *found == *name).then_some(libc::EIO)
    });
    let settled = Sandbox::settle(&sandbox.store_with(links), &entries, &leases(), |_| None);
    assert_eq!(settled.dropped.len(), 2);
    assert!(
        matches!(settled.failed[..], [Error::Hold { inode, .. }] if inode == b),
        "{:?}",
        settled.failed
    );
    assert_eq!(sandbox.holds(), [b]);
}

#[test]
fn a_lease_that_is_refused_keeps_the_hold_and_is_told() {
    struct Refused;
    impl Leases for Refused {
        fn sole_opener(&self, _: BorrowedFd<'_>) -> io::Result<bool> {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }
    let (sandbox, entries) = held();
    let a = inode(&sandbox.path("a"));
    sandbox.replace("a");
    let settled = Sandbox::settle(&sandbox.store(), &entries, &Refused, |_| Some(0));
    assert_eq!((inodes(&settled.kept), settled.failed.len()), (vec![a], 1));
    assert!(
        settled.failed[0].to_string().contains("lease"),
        "{}",
        settled.failed[0]
    );
}

#[test]
fn a_reap_waits_for_the_last_holder_and_happens_once() {
    let (sandbox, _) = held();
    let a = inode(&sandbox.path("a"));
    let holder = File::open(sandbox.path("a")).expect("opens");
    sandbox.replace("a");
    let store = sandbox.store();
    assert_eq!(store.reap(a, &leases()).expect("asks"), Reap::InUse);
    drop(holder);
    assert_eq!(store.reap(a, &leases()).expect("reaps"), Reap::Gone);
    assert_eq!(store.reap(a, &leases()).expect("looks"), Reap::AlreadyGone);
}

#[test]
fn a_pin_is_no_opener() {
    let (sandbox, _) = held();
    let a = inode(&sandbox.path("a"));
    sandbox.replace("a");
    let store = sandbox.store();
    let _pin = store.pin(a).expect("pins");
    let probe = store.probe(a, &leases()).expect("asks");
    assert!(matches!(probe, Probe::Free(_)), "{probe:?}");
    assert!(store.pin(0).is_err(), "there is no such hold");
}

#[test]
fn a_probe_outlives_its_store_and_is_spent_in_another() {
    let (sandbox, _) = held();
    let a = inode(&sandbox.path("a"));
    sandbox.replace("a");
    let probe = sandbox.store().probe(a, &leases()).expect("asks");
    let Probe::Free(probed) = probe else {
        panic!("{probe:?}")
    };
    assert_eq!(probed.inode(), a);
    assert_eq!(sandbox.store().unlink(probed).expect("unlinks"), Reap::Gone);
    assert!(!sandbox.hold_path(a).exists());
}

#[test]
fn a_name_that_became_another_inodes_is_not_removed() {
    let (sandbox, _) = held();
    let a = inode(&sandbox.path("a"));
    let Probe::Free(probed) = sandbox.store().probe(a, &leases()).expect("asks") else {
        panic!("has a name")
    };
    fs::remove_file(sandbox.hold_path(a)).expect("removes");
    fs::write(sandbox.hold_path(a), "somebody else's").expect("writes");
    let error = sandbox.store().unlink(probed).expect_err("refuses");
    assert!(
        matches!(error, Error::Stray { inode, .. } if inode == a),
        "{error}"
    );
    assert!(sandbox.hold_path(a).exists());
}
