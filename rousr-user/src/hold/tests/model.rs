//! Random upgrades against a real filesystem: no inode in use ever loses its last name, and none
//! is kept once nobody uses it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::Sandbox;
use crate::hold::ledger::{Event, Record};
use crate::hold::{Candidate, Ledger};
use crate::sys::lease::HostLeases;

const NAMES: [&str; 5] = ["a", "b", "c", "alias-1", "alias-2"];

#[derive(Clone, Debug)]
enum Step {
    /// dpkg puts a new file there.
    Replace(usize),
    /// dpkg removes it.
    Remove(usize),
    /// Somebody makes a hard link.
    Alias(usize, usize),
    Open(usize),
    Close(usize),
    Settle(Counts),
    Reap,
    LoseLedger,
}

/// What the tracker knows.
#[derive(Clone, Copy, Debug)]
enum Counts {
    Exact,
    Nothing,
    /// It lost all births.
    ZeroForHoldsOnly,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let counts = prop_oneof![
        Just(Counts::Exact),
        Just(Counts::Nothing),
        Just(Counts::ZeroForHoldsOnly)
    ];
    prop_oneof![
        4 => name.clone().prop_map(Step::Replace),
        2 => name.clone().prop_map(Step::Remove),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Alias(from, to)),
        5 => name.prop_map(Step::Open),
        3 => any::<usize>().prop_map(Step::Close),
        4 => counts.prop_map(Step::Settle),
        3 => Just(Step::Reap),
        1 => Just(Step::LoseLedger),
    ]
}

struct World {
    sandbox: Sandbox,
    ledger: Ledger,
    leases: HostLeases,
    open: Vec<File>,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for name in NAMES {
            sandbox.file(name);
        }
        let ledger = Ledger::new(sandbox.path("ledger"));
        Self {
            sandbox,
            ledger,
            leases: HostLeases::new().expect("SIGIO can be ignored"),
            open: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Replace(name) => {
                self.preserve();
                self.sandbox.replace(NAMES[name]);
            }
            Step::Remove(name) => {
                self.preserve();
                // It may have been removed before.
                let _ = fs::remove_file(self.sandbox.path(NAMES[name]));
            }
            Step::Alias(from, to) => {
                let (from, to) = (self.sandbox.path(NAMES[from]), self.sandbox.path(NAMES[to]));
                if from.exists() && !to.exists() {
                    fs::hard_link(from, to).expect("links");
                }
            }
            Step::Open(name) => self.open.extend(File::open(self.sandbox.path(NAMES[name]))),
            Step::Close(index) => {
                if !self.open.is_empty() {
                    self.open.swap_remove(index % self.open.len());
                }
            }
            Step::Settle(counts) => self.settle(counts),
            Step::Reap => self.reap(),
            // It may not exist.
            Step::LoseLedger => drop(fs::remove_file(self.ledger.path())),
        }
    }

    fn preserve(&self) {
        let candidates = NAMES.map(|name| Candidate {
            path: self.sandbox.path(name),
            origin: None,
        });
        let preserved = self.sandbox.store().preserve(candidates);
        assert!(
            preserved.skipped.is_empty() && preserved.stopped.is_none(),
            "{preserved:?}"
        );
        let records: Vec<_> = preserved
            .names
            .iter()
            .map(|name| Record::preserved(name, SystemTime::now()))
            .collect();
        self.ledger.append(records).expect("appends");
    }

    fn settle(&self, counts: Counts) {
        let exact = |inode| {
            self.open
                .iter()
                .filter(|file| links_of(file).0 == inode)
                .count() as u64
        };
        let only_a_hold =
            |inode| fs::metadata(self.sandbox.hold_path(inode)).is_ok_and(|hold| hold.nlink() == 1);
        let count = |inode| match counts {
            Counts::Exact => Some(exact(inode)),
            Counts::Nothing => None,
            Counts::ZeroForHoldsOnly => only_a_hold(inode).then_some(0),
        };
        let read = self.ledger.load();
        let (entries, damage) = self.ledger.recall();
        assert_eq!((&entries, &damage), (&read.0, &read.1));
        assert_eq!(damage, []);
        let settled = Sandbox::settle(&self.sandbox.store(), &entries, &self.leases, count);
        assert!(
            settled.failed.is_empty() && settled.strays.is_empty(),
            "{settled:?}"
        );
        let dropped = settled.dropped.iter().map(|&inode| (Event::Dropped, inode));
        let reaped = settled.reaped.iter().map(|&inode| (Event::Reaped, inode));
        let gone: Vec<_> = dropped.chain(reaped).collect();
        self.ledger
            .remove(entries, &gone, SystemTime::now())
            .expect("removes");
    }

    /// As the agent does for a death: only where the hold is all there is.
    fn reap(&self) {
        let store = self.sandbox.store();
        for hold in store.list().expect("lists").holds {
            if hold.stat.links == 1 {
                store.reap(hold.inode, &self.leases).expect("reaps or not");
            }
        }
    }
}

/// An open file's inode number and how many names it has.
fn links_of(file: &File) -> (u64, u64) {
    let metadata = file.metadata().expect("is open");
    (metadata.ino(), metadata.nlink())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_inode_in_use_loses_its_last_name_and_none_is_kept_for_nobody(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            for file in &world.open {
                let (inode, links) = links_of(file);
                prop_assert!(links > 0, "inode {} is an orphan after {:?}", inode, step);
            }
        }
        world.open.clear();
        // A child that another test is just starting has our files until it runs its program.
        for _ in 0..200 {
            world.settle(Counts::Exact);
            if world.sandbox.holds().is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        prop_assert_eq!(world.sandbox.holds(), Vec::<u64>::new());
    }
}
