//! The ledger, and how it writes paths.

use std::{
    collections::HashSet, ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf,
    time::SystemTime,
};

use rousr::hold::{
    escape::{escape, unescape},
    ledger::{Entries, Event, Record, all, apply},
};

use crate::json_lines;

/// For any bytes.
pub fn holds(input: &[u8]) {
    let records: Vec<Record> = json_lines::values(input);
    let entries = applied(records.iter().cloned());
    only_what_was_preserved_is_there(&records, &entries);
    written_anew_it_says_the_same(&entries);
    a_removal_removes(&entries);
    a_path_comes_back(input);
}

fn applied(records: impl IntoIterator<Item = Record>) -> Entries {
    let mut entries = Entries::new();
    for record in records {
        apply(&mut entries, record);
    }
    entries
}

fn only_what_was_preserved_is_there(records: &[Record], entries: &Entries) {
    let last = |inode| {
        records
            .iter()
            .rfind(|record| record.inode == inode)
            .map(|record| record.event)
    };
    for record in records {
        assert_eq!(
            entries.contains_key(&record.inode),
            last(record.inode) == Some(Event::Preserved)
        );
    }
    for (inode, entry) in entries {
        let paths: HashSet<_> = entry.names.iter().map(|name| &name.path).collect();
        assert_eq!(paths.len(), entry.names.len());
        assert!(entry.names.iter().all(|name| name.inode == *inode));
        assert!(records.iter().any(|record| record.inode == *inode
            && record.unix_milliseconds == entry.since_unix_milliseconds));
    }
}

fn written_anew_it_says_the_same(entries: &Entries) {
    let records = all(entries);
    json_lines::what_was_written_comes_back(&records);
    assert_eq!(applied(records), *entries);
}

fn a_removal_removes(entries: &Entries) {
    let mut left = entries.clone();
    for (inode, entry) in entries {
        let removed = Record::removed(Event::Reaped, *inode, Some(entry), SystemTime::UNIX_EPOCH);
        assert_eq!(removed.life_milliseconds, Some(0));
        apply(&mut left, removed);
    }
    assert!(left.is_empty());
}

fn a_path_comes_back(bytes: &[u8]) {
    let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let text = escape(&path);
    assert!(!text.chars().any(char::is_control));
    assert!(text.len() <= 4 * bytes.len());
    assert_eq!(unescape(&text), Some(path));
    if let Some(path) = str::from_utf8(bytes).ok().and_then(unescape) {
        assert_eq!(unescape(&escape(&path)), Some(path));
    }
}
