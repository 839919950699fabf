//! The history, and the transactions that its events amount to.

use std::{collections::HashSet, ffi::OsString, os::unix::ffi::OsStringExt as _};

use rousr::{
    seal::Level,
    transaction::history::{Event, Transaction, What, transactions},
};

use crate::json_lines;

/// For any bytes.
pub fn holds(input: &[u8]) {
    let events: Vec<Event> = json_lines::values(input);
    let all = transactions(events.clone());
    each_event_counts_once(&events, &all);
    time_goes_on(&events, &all);
    a_mount_point_of_any_bytes_is_noted(input);
}

fn each_event_counts_once(events: &[Event], all: &[Transaction]) {
    let count = |is: fn(&What) -> bool| events.iter().filter(|event| is(&event.what)).count();
    assert!(all.len() <= count(|what| matches!(what, What::Opened { .. })));
    let reaped: usize = all.iter().map(|transaction| transaction.reaped.len()).sum();
    assert!(reaped <= count(|what| matches!(what, What::Reaped { .. })));
    let openers: usize = all
        .iter()
        .map(|transaction| transaction.openers.len())
        .sum();
    assert!(openers <= count(|what| matches!(what, What::Opened { .. })));
    let packages: usize = all
        .iter()
        .map(|transaction| transaction.packages.len())
        .sum();
    let noted = events.iter().map(|event| match &event.what {
        What::Preserved { packages, .. } => packages.len(),
        _ => 0,
    });
    assert!(packages <= noted.sum::<usize>());
}

fn time_goes_on(events: &[Event], all: &[Transaction]) {
    if !events.is_sorted_by_key(|event| event.unix_milliseconds) {
        return;
    }
    for transaction in all {
        let began = transaction.began_unix_milliseconds;
        let later = [
            transaction.ended_unix_milliseconds,
            transaction.sealed_unix_milliseconds,
        ];
        assert!(later.into_iter().flatten().all(|at| at >= began));
    }
    let begun: HashSet<u64> = events.iter().map(|event| event.unix_milliseconds).collect();
    assert!(all.is_sorted_by_key(|transaction| transaction.began_unix_milliseconds));
    assert!(
        all.iter()
            .all(|transaction| begun.contains(&transaction.began_unix_milliseconds))
    );
}

/// Such as one of a filesystem beside /usr.
fn a_mount_point_of_any_bytes_is_noted(bytes: &[u8]) {
    let event = Event {
        unix_milliseconds: 0,
        beside: Some(OsString::from_vec(bytes.to_vec()).into()),
        what: What::Sealed {
            level: Level::Sealed,
        },
    };
    json_lines::what_was_written_comes_back(&[event]);
}
