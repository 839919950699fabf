//! What the events amount to.

use serde::Serialize;

use super::{Event, Package, What};
use crate::{hold::ledger::Record, seal::Level, track::process::Who, transaction::Opener};

/// From the first for whom the volume was made writable to the last, and what went later.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// When it began, in milliseconds since 1970 (UTC).
    pub began_unix_milliseconds: u64,
    /// When it was over; absent while it is not.
    pub ended_unix_milliseconds: Option<u64>,
    /// For whom, each once.
    pub openers: Vec<Opener>,
    /// The packages, in the order of apt's runs of dpkg. Who is told of them twice has them once: some frontends
    /// call each hook twice, and aptitude leaves dpkg's lock to dpkg, which then calls its own.
    pub packages: Vec<Package>,
    /// Files of these.
    pub files: u64,
    /// Holds made.
    pub holds: u64,
    /// Holds removed at its end.
    pub settled: u64,
    /// Holds left at its end: files in use. Some may be of transactions before it.
    pub kept: u64,
    /// How far it was sealed in the end.
    pub level: Option<Level>,
    /// When that was, where it was later than its end.
    pub sealed_unix_milliseconds: Option<u64>,
    /// What went with its last user, and was held since.
    pub reaped: Vec<Gone>,
    /// Whether nothing but filesystems below /usr took part: that of /usr is not kept read-only.
    #[serde(skip)]
    pub(crate) is_beside: bool,
}

/// A hold that went.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gone {
    /// What it was.
    #[serde(flatten)]
    pub hold: Record,
    /// Who used it last; null where nobody can tell.
    pub last_holder: Option<Who>,
}

/// The transactions, oldest first.
pub fn transactions(events: Vec<Event>) -> Vec<Transaction> {
    let mut transactions: Vec<Transaction> = Vec::new();
    for event in events {
        add(&mut transactions, event);
    }
    transactions
}

fn add(transactions: &mut Vec<Transaction>, event: Event) {
    let at = event.unix_milliseconds;
    let is_beside = event.beside.is_some();
    if let What::Opened { opener, is_first } = event.what {
        // One that was cut short has no end.
        let takes_part = |last: &&mut Transaction| {
            let is_open = last.ended_unix_milliseconds.is_none();
            is_open && (is_beside || !is_first)
        };
        return match transactions.last_mut().filter(takes_part) {
            Some(open) if open.openers.contains(&opener) => {}
            Some(open) => open.openers.push(opener),
            None => transactions.push(Transaction {
                began_unix_milliseconds: at,
                openers: vec![opener],
                is_beside,
                ..Transaction::default()
            }),
        };
    }
    if let What::Reaped { hold, last_holder } = event.what {
        let since = at.saturating_sub(hold.life_milliseconds.unwrap_or(0));
        let began_before =
            |transaction: &&mut Transaction| transaction.began_unix_milliseconds <= since;
        if let Some(transaction) = transactions.iter_mut().rev().find(began_before) {
            let hold = *hold;
            transaction.reaped.push(Gone { hold, last_holder });
        }
        return;
    }
    // What came before the oldest that is known is of no use.
    let Some(last) = transactions.last_mut() else {
        return;
    };
    match event.what {
        What::Preserved {
            packages,
            files,
            holds,
        } => {
            if is_beside == last.is_beside {
                for package in packages {
                    if !last.packages.contains(&package) {
                        last.packages.push(package);
                    }
                }
                last.files = last.files.saturating_add(files);
            }
            last.holds = last.holds.saturating_add(holds);
        }
        What::Settled { level, gone, kept } => {
            last.settled = last.settled.saturating_add(gone);
            last.kept = last.kept.saturating_add(kept);
            if is_beside == last.is_beside {
                last.ended_unix_milliseconds = Some(at);
                last.level = Some(level);
            }
        }
        // A seal that somebody else has broken since is none of its.
        What::Sealed { level } if is_beside == last.is_beside && last.level < Some(level) => {
            if last.ended_unix_milliseconds.is_some() {
                last.sealed_unix_milliseconds = Some(at);
                last.level = Some(level);
            }
        }
        What::Sealed { .. } | What::Opened { .. } | What::Reaped { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use proptest::prelude::*;

    use super::*;
    use crate::hold::ledger;

    fn event(at: u64, what: What) -> Event {
        Event {
            unix_milliseconds: at,
            beside: None,
            what,
        }
    }

    fn opened(at: u64, opener: Opener) -> Event {
        let is_first = true;
        event(at, What::Opened { opener, is_first })
    }

    fn joined(at: u64, opener: Opener) -> Event {
        let is_first = false;
        event(at, What::Opened { opener, is_first })
    }

    fn settled(at: u64) -> Event {
        let what = What::Settled {
            level: Level::MountSealed,
            gone: 2,
            kept: 1,
        };
        event(at, what)
    }

    fn preserved(at: u64, name: &str) -> Event {
        let package = Package {
            name: name.into(),
            old_version: Some("1".into()),
            new_version: Some("2".into()),
        };
        let what = What::Preserved {
            packages: vec![package],
            files: 5,
            holds: 3,
        };
        event(at, what)
    }

    fn reaped(at: u64, inode: u64, life: u64) -> Event {
        let hold = Record {
            unix_milliseconds: at,
            event: ledger::Event::Reaped,
            inode,
            path: Some("/usr/bin/x".into()),
            package: None,
            old_version: None,
            new_version: None,
            life_milliseconds: Some(life),
        };
        let what = What::Reaped {
            hold: Box::new(hold),
            last_holder: None,
        };
        event(at, what)
    }

    #[test]
    fn a_hold_goes_with_the_transaction_that_made_it() {
        let command = Opener::Command { pid: 7, started: 8 };
        let all = transactions(vec![
            opened(100, Opener::Transaction),
            preserved(110, "a"),
            preserved(120, "b"),
            settled(130),
            event(
                140,
                What::Sealed {
                    level: Level::Sealed,
                },
            ),
            opened(200, Opener::Transaction),
            joined(205, command),
            joined(206, command),
            reaped(300, 1, 190),
            settled(310),
            reaped(320, 2, 10),
        ]);
        let [first, second] = &all[..] else {
            panic!("{all:?}");
        };
        let names: Vec<&str> = (first.packages.iter())
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((first.files, first.holds), (10, 6));
        assert_eq!((first.settled, first.kept), (2, 1));
        assert_eq!(first.ended_unix_milliseconds, Some(130));
        assert_eq!(first.level, Some(Level::Sealed));
        assert_eq!(first.sealed_unix_milliseconds, Some(140));
        assert_eq!(first.reaped[0].hold.inode, 1);
        assert_eq!(second.openers, [Opener::Transaction, command]);
        assert_eq!(second.reaped[0].hold.inode, 2);
        assert_eq!(second.level, Some(Level::MountSealed));
    }

    #[test]
    fn one_that_was_cut_short_has_no_end_and_takes_nothing_of_the_next() {
        let all = transactions(vec![
            opened(100, Opener::Transaction),
            preserved(110, "a"),
            opened(300, Opener::Transaction),
            preserved(310, "a"),
            settled(320),
        ]);
        let [first, second] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!(
            (first.packages.len(), first.ended_unix_milliseconds),
            (1, None)
        );
        assert_eq!(second.began_unix_milliseconds, 300);
        assert_eq!(
            (second.packages.len(), second.ended_unix_milliseconds),
            (1, Some(320))
        );
    }

    #[test]
    fn a_seal_that_is_made_good_later_is_not_its_own() {
        let sealed = |at, level| event(at, What::Sealed { level });
        let all = transactions(vec![
            opened(100, Opener::Transaction),
            settled(120),
            sealed(130, Level::Sealed),
            sealed(900, Level::Sealed),
        ]);
        assert_eq!(all[0].sealed_unix_milliseconds, Some(130));
    }

    #[test]
    fn where_usr_is_not_kept_those_beside_are_all_there_is() {
        let beside = |event: Event| Event {
            beside: Some("/usr/local".into()),
            ..event
        };
        let one = |at| {
            [
                opened(at, Opener::Transaction),
                preserved(at + 1, "a"),
                settled(at + 2),
            ]
            .map(beside)
        };
        let all = transactions([one(100), one(200)].concat());
        let told: Vec<_> = (all.iter())
            .map(|one| {
                (
                    one.began_unix_milliseconds,
                    one.ended_unix_milliseconds,
                    one.packages.len(),
                )
            })
            .collect();
        assert_eq!(told, [(100, Some(102), 1), (200, Some(202), 1)]);
    }

    #[test]
    fn filesystems_beside_add_to_it() {
        let beside = |event: Event| Event {
            beside: Some("/usr/share".into()),
            ..event
        };
        let all = transactions(vec![
            opened(100, Opener::Transaction),
            beside(opened(101, Opener::Transaction)),
            preserved(110, "a"),
            beside(preserved(111, "a")),
            settled(120),
            beside(settled(121)),
        ]);
        let [one] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!((one.packages.len(), one.files, one.holds), (1, 5, 6));
        assert_eq!((one.settled, one.kept), (4, 2));
        assert_eq!(one.ended_unix_milliseconds, Some(120));
    }

    #[test]
    fn a_package_that_is_told_twice_is_there_once() {
        let told = ["a", "b", "a"].map(|name| preserved(110, name));
        let all = transactions([vec![opened(100, Opener::Transaction)], told.into()].concat());
        let names: Vec<&str> = (all[0].packages.iter())
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn damaged_numbers_are_survived() {
        let damaged = |at| {
            let what = What::Settled {
                level: Level::Sealed,
                gone: u64::MAX,
                kept: u64::MAX,
            };
            event(at, what)
        };
        let all = transactions(vec![opened(1, Opener::Transaction), damaged(2), damaged(3)]);
        assert_eq!((all[0].settled, all[0].kept), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_mount_point_need_not_be_text() {
        let event = Event {
            beside: Some(OsStr::from_bytes(b"/usr/a\xff\n").into()),
            ..settled(1)
        };
        let line = serde_json::to_vec(&event).expect("JSON");
        assert!(!line.contains(&b'\n'));
        assert_eq!(
            serde_json::from_slice::<Event>(&line).expect("an event"),
            event
        );
    }

    proptest! {
        #[test]
        fn a_line_comes_back_as_written(at in any::<u64>(), name in ".*", inode in any::<u64>(), life in any::<u64>()) {
            for event in [
                opened(at, Opener::Administrator { until: Some(life) }),
                preserved(at, &name),
                settled(at),
                reaped(at, inode, life),
            ] {
                let line = serde_json::to_vec(&event).expect("JSON");
                prop_assert!(!line.contains(&b'\n'));
                prop_assert_eq!(serde_json::from_slice::<Event>(&line).expect("an event"), event);
            }
        }

        /// Events that were lost, or came from elsewhere, are no reason to fail.
        #[test]
        fn whatever_is_there_amounts_to_something(order in proptest::collection::vec(0..5_usize, 0..20)) {
            let event = |(at, kind): (u64, &usize)| match kind {
                0 => opened(at, Opener::Transaction),
                1 => preserved(at, "a"),
                2 => settled(at),
                3 => reaped(at, at, at / 2),
                _ => event(at, What::Sealed { level: Level::Sealed }),
            };
            let events: Vec<Event> = (0..).zip(&order).map(event).collect();
            let began = events.iter().filter(|event| matches!(event.what, What::Opened { .. })).count();
            let all = transactions(events);
            prop_assert!(all.len() <= began);
            prop_assert!(all.is_sorted_by_key(|one| one.began_unix_milliseconds));
        }
    }
}
