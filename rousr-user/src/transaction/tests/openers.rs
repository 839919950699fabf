//! Several that have the volume open, and the seal when the last one is done.

use super::*;

#[test]
fn it_is_sealed_once_nothing_is_in_the_way() {
    type Blocker = fn(&mut crate::seal::fake::Model) -> &mut u32;
    let blockers: [Blocker; 2] = [|model| &mut model.orphans, |model| &mut model.writers];
    for blocker in blockers {
        let world = World::sealed();
        let mut tracker = Counted::default();
        world.keeper.begin().expect("begins");
        *blocker(&mut world.mounts.0.borrow_mut()) = 1;
        // Mount-sealed, or not at all: the tests above tell which.
        let _ = world.keeper.finish(&mut tracker);
        let early = world.keeper.seal_again();
        assert!(!matches!(early, Ok(Some(ref outcome)) if outcome.level == Level::Sealed));
        assert_ne!(world.level(), Level::Sealed);

        *blocker(&mut world.mounts.0.borrow_mut()) = 0;
        let outcome = world.keeper.seal_again().expect("seals");
        let level = outcome.map(|outcome| (outcome.level, outcome.wanted));
        assert_eq!(level, Some((Level::Sealed, Level::Sealed)));
        assert!(!world.record.exists());
    }
}

#[test]
fn it_stays_open_until_the_last_opener_is_done() {
    let command = Opener::Command {
        pid: std::process::id(),
        started: 0,
    };
    let unsealed = Opener::Administrator { until: None };
    let world = World::sealed();
    let mut tracker = Counted::default();
    for opener in [Opener::Transaction, unsealed, command] {
        let opened = world.keeper.open_and_preserve(opener).expect("opens");
        assert_eq!((opened.level, opened.wanted), (Level::Open, Level::Sealed));
    }
    for (opener, left) in [
        (command, vec![Opener::Transaction, unsealed]),
        (Opener::Transaction, vec![unsealed]),
        (Opener::Administrator { until: Some(7) }, vec![]),
    ] {
        let closed = world.keeper.close(&mut tracker, opener).expect("closes");
        let level = if left.is_empty() {
            Level::Sealed
        } else {
            Level::Open
        };
        assert_eq!((closed.level, closed.open_for), (level, left));
    }
    assert!(!world.record.exists());
}

#[test]
fn openers_that_are_gone_are_ended_and_no_others() {
    let this = crate::track::process::Process::read(std::process::id()).expect("/proc");
    let alive = Opener::Command {
        pid: this.pid,
        started: this.started,
    };
    let long = Opener::Administrator {
        until: Some(u64::MAX),
    };
    let gone = [
        // Nobody holds the lock, which is not there.
        Opener::Transaction,
        Opener::Administrator { until: Some(1) },
        Opener::Command {
            pid: this.pid,
            started: this.started + 1,
        },
    ];
    for gone in gone {
        let world = World::sealed();
        let mut tracker = Counted::default();
        world.keeper.open_for(alive).expect("opens");
        world.keeper.open_for(gone).expect("opens");
        let left = world.keeper.end_abandoned(&mut tracker).expect("looks");
        assert_eq!((left.level, left.open_for), (Level::Open, vec![alive]));
        world.keeper.close(&mut tracker, alive).expect("closes");
        assert_eq!(world.level(), Level::Sealed);
    }
    let world = World::sealed();
    world.keeper.open_for(long).expect("opens");
    let left = world.keeper.end_abandoned(&mut Counted::default());
    assert_eq!(left.expect("looks").open_for, [long]);
}

#[test]
fn a_hold_with_a_name_stays_while_the_file_may_be_replaced() {
    for opener in [Opener::Transaction, Opener::Administrator { until: None }] {
        let world = World::sealed();
        let mut tracker = Counted::default();
        let held = fs::metadata(&world.file).expect("exists").ino();
        let mut user = holder_of(&world.file);
        match opener {
            Opener::Transaction => {
                world.keeper.begin().expect("begins");
                world.keeper.preserve(STREAM).expect("preserves");
            }
            other => drop(world.keeper.open_and_preserve(other).expect("opens")),
        }
        assert_eq!(world.holds(), [held]);
        // As after a lost event: every hold is looked at.
        let reaping = world.keeper.reap(&mut tracker, [held]).expect("looks");
        assert!(reaping.reaped.is_empty(), "{reaping:?}");
        assert_eq!(world.holds(), [held]);
        world.upgrade();
        tracker.holders.insert(held, 1);
        world.keeper.close(&mut tracker, opener).expect("closes");
        assert_eq!(world.holds(), [held], "it is in use, and nameless");
        user.kill().expect("it runs");
        user.wait().expect("it ends");
    }
}

#[test]
fn without_a_record_it_stays_read_only() {
    let world = World::sealed();
    let aside = world.record.with_extension("new");
    fs::create_dir_all(&aside).expect("is in the way");
    let refused = world.keeper.begin().expect_err("nobody would seal it");
    assert!(refused.to_string().contains("open.new"), "{refused}");
    assert_eq!(world.level(), Level::Sealed);
    fs::remove_dir(aside).expect("removes");
    world.keeper.begin().expect("begins");
    assert_eq!(world.level(), Level::Open);
}

fn this_process() -> Frontend {
    let this = crate::track::process::Process::read(std::process::id()).expect("/proc");
    Frontend {
        pid: this.pid,
        started: this.started,
        locks_later: false,
    }
}

#[test]
fn a_frontend_inside_of_another_ends_nothing() {
    let outer = this_process();
    let mut child = holder_of(Path::new("/dev/null"));
    let inner = crate::track::process::Process::read(child.id()).expect("/proc");
    let inner = Frontend {
        pid: inner.pid,
        started: inner.started,
        locks_later: false,
    };
    let world = World::sealed();
    let mut tracker = Counted::default();
    let mut finish = |frontend| {
        let outcome = world.keeper.finish_by(&mut tracker, Some(frontend));
        outcome.expect("finishes").level
    };
    world.keeper.begin_by(Some(outer)).expect("begins");
    world.keeper.begin_by(Some(inner)).expect("begins");
    assert_eq!(finish(inner), Level::Open);
    assert_eq!(finish(outer), Level::Sealed);

    world.keeper.begin_by(Some(outer)).expect("begins");
    world.keeper.begin_by(Some(inner)).expect("begins");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let left = world.keeper.end_abandoned(&mut Counted::default());
    assert_eq!(left.expect("looks").level, Level::Open);
    assert_eq!(finish(outer), Level::Sealed);
    assert!(!world.record.exists());
}

/// Whoever looks, an agent that starts in the middle too: no time is the end of a transaction.
#[test]
fn a_transaction_of_years_goes_on() {
    let world = World::sealed();
    world.keeper.begin_by(Some(this_process())).expect("begins");
    let record = fs::read_to_string(&world.record).expect("the record");
    let mut record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    record["reasons"][0]["began"] = 1.into();
    fs::write(&world.record, record.to_string()).expect("written");
    let left = world.keeper.end_abandoned(&mut Counted::default());
    assert_eq!(left.expect("looks").open_for, [Opener::Transaction]);
    assert_eq!(world.level(), Level::Open);
}

#[test]
fn an_opener_that_gets_nothing_takes_nothing_from_the_others() {
    let world = World::sealed();
    world.keeper.begin().expect("begins");
    // Made read-only by somebody else meanwhile, and now it cannot be made writable.
    world.mounts.0.borrow_mut().state.superblock_read_only = true;
    world
        .mounts
        .0
        .borrow_mut()
        .refused
        .insert(Call::ClearSuperblockReadOnly, libc::EROFS);
    let unsealed = Opener::Administrator { until: None };
    world.keeper.open_for(unsealed).expect_err("refused");
    assert_eq!(
        world.keeper.openers().expect("openers"),
        [Opener::Transaction]
    );
}

#[test]
fn copies_of_the_mount_elsewhere_are_sealed_and_others_are_not() {
    let world = World::sealed();
    let mounts = crate::sys::mountinfo::parse(b"7 1 0:1 / /usr rw - ext4 /dev/fake rw");
    let foreign = |whole| Foreign {
        pid: 7,
        mount: mounts[0].clone(),
        whole,
    };
    world.keeper.begin().expect("begins");
    world.mounts.0.borrow_mut().foreign = vec![foreign(true), foreign(false)];
    let outcome = world.keeper.finish(&mut Counted::default());
    assert!(outcome.expect("finishes").warnings.is_empty());
    assert_eq!(world.mounts.0.borrow().foreign, [foreign(false)]);

    // One that has a writer is told.
    world.keeper.begin().expect("begins");
    world.mounts.0.borrow_mut().foreign = vec![foreign(true)];
    let refused = (Call::SealForeign, libc::EBUSY);
    world.mounts.0.borrow_mut().refused.extend([refused]);
    let outcome = world.keeper.finish(&mut Counted::default());
    let told = outcome.expect("finishes").warnings.concat();
    assert!(told.contains("process 7 can still write to /usr"), "{told}");
}

#[test]
fn what_is_wanted_open_is_not_sealed_later() {
    let world = World::new("LABEL=usr /usr ext4 defaults 0 2\n", MountState::default());
    let outcome = world
        .keeper
        .seal_again()
        .expect("looks")
        .expect("no transaction");
    assert_eq!(outcome.level, Level::Open);
}
