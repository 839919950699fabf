//! Reading back what was written, and what is left of a damaged ledger.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::origin;
use crate::hold::Ledger;
use crate::hold::ledger::{Entries, Event, Record};
use crate::hold::preserve::Name;

fn at(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn name(inode: u64, path: &str) -> Name {
    Name {
        inode,
        path: path.into(),
        origin: Some(origin()),
    }
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::new(dir.path().join("lib/ledger"));
    (dir, ledger)
}

#[test]
fn a_line_reads_well() {
    let entries = {
        let (_dir, ledger) = ledger();
        ledger
            .append([Record::preserved(
                &name(7, "/usr/lib/libdemo.so.1"),
                at(1000),
            )])
            .expect("appends");
        let line = fs::read_to_string(ledger.path()).expect("reads");
        let expected = r#"{"unixMilliseconds":1000,"event":"preserved","inode":7,"path":"/usr/lib/libdemo.so.1","package":"libdemo1","oldVersion":"1.0-1","newVersion":"1.0-2"}"#;
        assert_eq!(line.trim_end(), expected);
        ledger.load().0
    };
    let reaped = serde_json::to_string(&Record::removed(
        Event::Reaped,
        7,
        entries.get(&7),
        at(4500),
    ))
    .expect("writes");
    assert!(
        reaped.contains(r#""event":"reaped""#) && reaped.contains(r#""lifeMilliseconds":3500"#),
        "{reaped}"
    );
    assert!(reaped.contains("libdemo.so.1"), "{reaped}");
}

#[test]
fn knows_the_holds_that_are_there() {
    let (_dir, ledger) = ledger();
    let (seven, again, eight) = (name(7, "/usr/a"), name(7, "/usr/b"), name(8, "/usr/c"));
    ledger
        .append([
            Record::preserved(&seven, at(1)),
            Record::preserved(&eight, at(1)),
        ])
        .expect("appends");
    ledger
        .append([
            Record::preserved(&again, at(2)),
            Record::preserved(&seven, at(3)),
        ])
        .expect("appends");
    ledger
        .append([Record::removed(Event::Dropped, 8, None, at(4))])
        .expect("appends");
    ledger.append([] as [Record; 0]).expect("appends nothing");

    let (entries, damage) = ledger.load();
    assert_eq!(damage, []);
    assert_eq!(entries.keys().copied().collect::<Vec<_>>(), [7]);
    assert_eq!(
        (entries[&7].since_unix_milliseconds, &entries[&7].names),
        (1, &vec![again, seven])
    );
}

/// A later transaction sees only that it is in use, by the name that it had.
#[test]
fn a_package_stays_known() {
    let (_dir, ledger) = ledger();
    let listed = name(7, "/usr/a");
    let in_use = Name {
        origin: None,
        ..listed.clone()
    };
    for name in [&in_use, &listed, &in_use] {
        let record = Record::preserved(name, at(1));
        ledger.append([record]).expect("appends");
    }
    assert_eq!(ledger.load().0[&7].names, [listed]);
}

#[test]
fn a_missing_ledger_is_empty() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.load(), (Entries::new(), vec![]));
}

#[test]
fn an_unreadable_ledger_is_empty_and_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (entries, damage) = Ledger::new(dir.path()).load();
    assert!(entries.is_empty());
    assert!(
        damage[0].to_string().contains("cannot be read"),
        "{}",
        damage[0]
    );
}

#[test]
fn an_unwritable_ledger_is_told_with_the_next_step() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let error = Ledger::new(dir.path())
        .append([Record::preserved(&name(1, "/a"), at(1))])
        .expect_err("is a directory");
    assert!(
        error
            .to_string()
            .contains("the holds are made all the same"),
        "{error}"
    );
}

#[test]
fn a_damaged_line_costs_only_itself() {
    let (_dir, ledger) = ledger();
    let good = |inode| {
        serde_json::to_vec(&Record::preserved(&name(inode, "/usr/a"), at(1))).expect("writes")
    };
    let bad: [&[u8]; 8] = [
        b"\0\0\0\0",
        b"garbage",
        b"{\"unixMilliseconds\":1,\"event\":\"preserved\"}",
        b"{\"unixMilliseconds\":1,\"event\":\"eaten\",\"inode\":9}",
        b"{\"unixMilliseconds\":1,\"event\":\"preserved\",\"inode\":-9}",
        b"{\"unixMilliseconds\":1,\"event\":\"preserved\",\"inode\":9,\"path\":\"\\\\y\"}",
        b"{\"unixMilliseconds\":1,\"event\":\"preserved\",\"inode\":9,\"path\":\"\xff\"}",
        b"[]",
    ];
    for bad in bad {
        let lines = [&good(7)[..], bad, b"", &good(8)].join(&b'\n');
        fs::create_dir_all(ledger.path().parent().expect("has one")).expect("creates");
        fs::write(ledger.path(), lines).expect("writes");
        let (entries, damage) = ledger.load();
        assert_eq!(
            entries.keys().copied().collect::<Vec<_>>(),
            [7, 8],
            "{}",
            bad.escape_ascii()
        );
        assert_eq!(damage.len(), 1, "{}", bad.escape_ascii());
        let told = damage[0].to_string();
        assert!(
            told.starts_with(&format!("{}:2: ", ledger.path().display())),
            "{told}"
        );
        assert!(!told.contains("at line 1"), "{told}");
    }
}

#[test]
fn a_torn_line_does_not_take_the_next_one_along() {
    let (_dir, ledger) = ledger();
    ledger
        .append([Record::preserved(&name(7, "/usr/a"), at(1))])
        .expect("appends");
    let whole = fs::read(ledger.path()).expect("reads");
    for torn in 1..whole.len() {
        fs::write(ledger.path(), &whole[..torn]).expect("writes");
        assert_eq!(ledger.load().1, [], "half a line is none: {torn}");
        ledger
            .append([Record::preserved(&name(8, "/usr/b"), at(2))])
            .expect("appends");
        let (entries, damage) = ledger.load();
        assert!(entries.contains_key(&8), "torn at {torn}");
        assert_eq!(damage, [], "torn at {torn}");
        // All but the newline was there: nothing is lost.
        let is_whole = torn == whole.len() - 1;
        assert_eq!(entries.contains_key(&7), is_whole, "torn at {torn}");
    }
}

#[test]
fn what_is_over_goes_once_it_is_most_of_it() {
    let (_dir, ledger) = ledger();
    let stays = Record::preserved(&name(7, "/usr/a"), at(1));
    let goes = |inode| {
        [
            Record::preserved(&name(inode, "/usr/b"), at(2)),
            Record::removed(Event::Reaped, inode, None, at(3)),
        ]
    };
    ledger.append([stays]).expect("appends");
    let mut rewritten = false;
    for round in 0..40u64 {
        let records: Vec<Record> = (0..50).flat_map(|n| goes(100 + round * 50 + n)).collect();
        ledger.append(records).expect("appends");
        let (before, _) = ledger.load();
        let length = fs::metadata(ledger.path()).expect("is there").len();
        ledger.compact(&before).expect("compacts");
        assert_eq!(ledger.load(), (before, vec![]));
        rewritten |= fs::metadata(ledger.path()).expect("is there").len() < length;
    }
    assert!(rewritten);
    let length = fs::metadata(ledger.path()).expect("is there").len();
    assert!(length < 300 << 10, "{length}");
}

#[test]
fn what_is_gone_is_a_line_or_no_line_at_all() {
    let (_dir, ledger) = ledger();
    let record = |inode| Record::preserved(&name(inode, "/usr/share/doc/a"), at(1));
    let all: Vec<Record> = (0..4000).map(record).collect();
    ledger.append(all).expect("appends");
    let length = || fs::metadata(ledger.path()).expect("is there").len();
    let whole = length();
    let mut gone: Vec<(Event, u64)> = (0..2000).map(|inode| (Event::Dropped, inode)).collect();
    ledger
        .remove(ledger.load().0, &gone, at(2))
        .expect("appends");
    assert!(length() > whole, "half of it is left");
    let (entries, damage) = ledger.load();
    assert_eq!((entries.len(), damage), (2000, vec![]));

    gone = (2000..3999).map(|inode| (Event::Reaped, inode)).collect();
    ledger.remove(entries, &gone, at(3)).expect("rewrites");
    assert!(length() < 200, "{}", length());
    let (entries, damage) = ledger.load();
    assert_eq!(damage, []);
    assert_eq!(entries.keys().copied().collect::<Vec<_>>(), [3999]);

    // A small one keeps what it says.
    gone = vec![(Event::Reaped, 3999)];
    ledger.remove(entries, &gone, at(4)).expect("appends");
    let text = fs::read_to_string(ledger.path()).expect("reads");
    assert!(text.contains(r#""event":"reaped""#), "{text}");
}

#[test]
fn a_damaged_one_is_kept_beside_the_new_one() {
    let (_dir, ledger) = ledger();
    let record = Record::preserved(&name(7, "/usr/a"), at(1));
    ledger.append([record]).expect("appends");
    let damaged = [&fs::read(ledger.path()).expect("reads")[..], b"odd\n"].concat();
    fs::write(ledger.path(), &damaged).expect("writes");
    let (entries, damage) = ledger.load();
    assert_eq!(damage.len(), 1);
    let aside = ledger.replace_damaged(&entries).expect("replaces");
    assert_eq!(fs::read(aside).expect("is there"), damaged);
    assert_eq!(ledger.load(), (entries, vec![]));
}

proptest! {
    #[test]
    fn any_name_comes_back(inode: u64, path in proptest::collection::vec(1u8..=255, 1..60), package in ".{0,12}") {
        let (_dir, ledger) = ledger();
        let mut origin = (*origin()).clone();
        origin.package = package;
        origin.new_version = None;
        let path = PathBuf::from(OsString::from_vec(path));
        let name = Name { inode, path, origin: Some(origin.into()) };
        ledger.append([Record::preserved(&name, at(5))]).expect("appends");
        let (entries, damage) = ledger.load();
        prop_assert_eq!(damage, vec![]);
        prop_assert_eq!(&entries[&inode].names, &vec![name]);
    }

    #[test]
    fn no_content_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_dir, ledger) = ledger();
        fs::create_dir_all(ledger.path().parent().expect("has one")).expect("creates");
        fs::write(ledger.path(), bytes).expect("writes");
        ledger.load();
    }
}

/// What is remembered of its own writing is what a reader finds.
#[test]
fn what_was_written_is_not_read_again_unless_somebody_else_wrote() {
    let (_dir, ledger) = ledger();
    let record = |inode| Record::preserved(&name(inode, &format!("/usr/{inode}")), at(inode));
    ledger.append([record(1), record(2)]).expect("appends");
    let told = |ledger: &Ledger| {
        let expected = ledger.load();
        assert_eq!(ledger.recall(), expected);
        expected.0.into_keys().collect::<Vec<u64>>()
    };
    assert_eq!(told(&ledger), [1, 2]);
    // Taken, so that it is read.
    assert_eq!(told(&ledger), [1, 2]);
    let (entries, _) = ledger.recall();
    ledger
        .remove(entries, &[(Event::Reaped, 1)], at(9))
        .expect("removes");
    ledger.append([record(3)]).expect("appends");
    assert_eq!(told(&ledger), [2, 3]);

    ledger.append([record(4)]).expect("appends");
    let other = ledger.clone();
    other.append([record(5)]).expect("appends");
    assert_eq!(told(&ledger), [2, 3, 4, 5]);

    ledger.append([record(6)]).expect("appends");
    let some = ledger.recall_of(&[3, 7]);
    assert_eq!(some.into_keys().collect::<Vec<u64>>(), [3]);
    assert_eq!(told(&ledger), [2, 3, 4, 5, 6]);
}

/// Who believed that it is there would never write it again.
#[test]
fn what_could_not_be_written_is_not_recalled() {
    let (_dir, ledger) = ledger();
    let record = |inode| Record::preserved(&name(inode, "/usr/a"), at(1));
    ledger.append([record(1)]).expect("appends");
    let (mut entries, _) = ledger.recall();
    // Known to its caller, and to nobody else.
    entries.insert(2, entries[&1].clone());
    ledger.remove(entries, &[], at(2)).expect("changes nothing");
    assert_eq!(ledger.recall(), ledger.load());
    assert_eq!(ledger.recall().0.into_keys().collect::<Vec<u64>>(), [1]);
}

#[test]
fn what_is_damaged_is_told_again_and_again() {
    let (_dir, ledger) = ledger();
    let record = |inode| Record::preserved(&name(inode, "/usr/a"), at(1));
    ledger.append([record(1)]).expect("appends");
    let bytes = fs::read(ledger.path()).expect("reads");
    fs::write(ledger.path(), [b"nonsense\n", &bytes[..]].concat()).expect("writes");
    ledger.append([record(2)]).expect("appends");
    for _ in 0..2 {
        let (entries, damage) = ledger.recall();
        assert_eq!((entries.len(), damage.len()), (2, 1));
    }
}
