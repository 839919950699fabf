//! A ledger that knows other holds than there are, and what a crash left.

use super::*;
use crate::hold::{
    Ledger,
    ledger::{Event, Record},
};

/// What it knows: each hold with the names it had.
fn known(world: &World) -> Vec<(u64, Vec<PathBuf>)> {
    let (entries, damage) = world.keeper.ledger().load();
    assert_eq!(damage, []);
    let known = entries.into_iter().map(|(inode, entry)| {
        let names = entry.names.into_iter().map(|name| name.path);
        (inode, names.collect())
    });
    known.collect()
}

/// As an agent does it that starts.
fn start(world: &World) -> Vec<String> {
    let outcome = world.keeper.end_abandoned(&mut Counted::default());
    outcome.expect("settles").warnings
}

type Damage = fn(&Ledger);

/// What can become of a ledger, and whether it is told.
const DAMAGES: [(Damage, bool); 4] = [
    (
        |ledger| fs::remove_file(ledger.path()).expect("removed"),
        false,
    ),
    (
        |ledger| fs::write(ledger.path(), "").expect("written"),
        false,
    ),
    (
        |ledger| fs::write(ledger.path(), [0; 300]).expect("written"),
        true,
    ),
    (
        |ledger| {
            let half = fs::read(ledger.path()).expect("read");
            fs::write(ledger.path(), &half[..half.len() / 2]).expect("written");
        },
        false,
    ),
];

#[test]
fn a_lost_ledger_leaks_no_hold_of_a_file_that_was_not_replaced() {
    for (damage, is_told) in DAMAGES {
        let world = World::begun();
        let old = inode(&world.file);
        // Without a count an inode that has another name counts as used.
        let _holder = File::open(&world.file).expect("opens");
        assert_eq!(world.holds(), [old]);
        damage(world.keeper.ledger());
        let told = start(&world);
        assert_eq!(!told.is_empty(), is_told, "{told:?}");
        assert!(world.holds().is_empty());
        assert_eq!(known(&world), []);
        assert_eq!(start(&world), [] as [String; 0], "told once");
        assert_eq!(world.level(), Level::Sealed);
    }
}

#[test]
fn a_lost_ledger_is_rebuilt_from_the_holds() {
    for (damage, is_told) in DAMAGES {
        let world = World::begun();
        let old = inode(&world.file);
        let _holder = File::open(&world.file).expect("opens");
        world.upgrade();
        damage(world.keeper.ledger());
        let told = start(&world);
        assert_eq!(!told.is_empty(), is_told, "{told:?}");
        assert_eq!(world.holds(), [old]);
        assert_eq!(known(&world), [(old, vec![])]);
        let kept = fs::read_dir(world.keeper.ledger().path().parent().expect("has one"));
        let aside = kept.expect("lists").filter_map(Result::ok).filter(|file| {
            let name = file.file_name();
            name.to_string_lossy().starts_with("ledger.damaged-")
        });
        assert_eq!(aside.count(), usize::from(is_told));
    }
}

#[test]
fn names_are_found_by_a_walk_but_none_that_dpkg_drops_by_itself() {
    let world = World::begun();
    let old = inode(&world.file);
    let _holder = File::open(&world.file).expect("opens");
    let passing = world.file.with_extension("dpkg-tmp");
    fs::hard_link(&world.file, passing).expect("as dpkg does");
    world.upgrade();
    fs::remove_file(world.keeper.ledger().path()).expect("removed");
    start(&world);
    assert_eq!(known(&world), [(old, vec![])]);
    assert_eq!(world.holds(), [old], "the last name that stays");

    let folder = world.file.with_file_name("folder");
    fs::create_dir(&folder).expect("makes it");
    let other = folder.join("other");
    fs::hard_link(world.file.with_extension("dpkg-tmp"), &other).expect("links");
    fs::remove_file(world.keeper.ledger().path()).expect("removed");
    world.keeper.begin().expect("begins");
    world.keeper.preserve(STREAM).expect("preserves");
    fs::remove_file(world.keeper.ledger().path()).expect("removed");
    start(&world);
    assert!(!world.holds().contains(&old), "it has a name that stays");
    assert_eq!(known(&world), []);
}

#[test]
fn what_dpkg_forgot_to_remove_keeps_no_hold_that_nobody_uses() {
    for is_used in [true, false] {
        let world = World::begun();
        let old = inode(&world.file);
        let _holder = is_used.then(|| File::open(&world.file).expect("opens"));
        let forgotten = world.file.with_extension("dpkg-tmp");
        fs::hard_link(&world.file, &forgotten).expect("as dpkg does");
        world.upgrade();
        start(&world);
        assert_eq!(world.holds().contains(&old), is_used);
        assert_eq!(inode(&forgotten), old);
    }
}

#[test]
fn what_the_ledger_says_of_holds_that_are_gone_is_dropped() {
    let world = World::begun();
    let name = crate::hold::preserve::Name {
        inode: 7,
        path: "/usr/gone".into(),
        origin: None,
    };
    let ledger = world.keeper.ledger();
    let record = Record::preserved(&name, std::time::SystemTime::now());
    ledger.append([record]).expect("appends");
    start(&world);
    assert_eq!(known(&world), []);
    let text = fs::read_to_string(ledger.path()).expect("read");
    let missed = serde_json::to_string(&Event::Missed).expect("JSON");
    assert!(text.contains(&missed), "{text}");
}

#[test]
fn an_entry_that_was_on_its_move_is_put_right_before_the_holds_are_settled() {
    let world = World::begun();
    let old = inode(&world.file);
    let _holder = File::open(&world.file).expect("opens");
    let holds = world.file.with_file_name(".rousr");
    let (hold, entry) = (
        holds.join(old.to_string()),
        holds.join(format!("{old}.entry")),
    );
    // Killed after the entries had changed places.
    fs::rename(&world.file, &entry).expect("moves");
    std::os::unix::fs::symlink(&hold, &world.file).expect("links");
    assert_eq!(start(&world), [] as [String; 0]);
    assert!(world.holds().is_empty() && !entry.exists() && !hold.exists());
    assert!(
        !fs::symlink_metadata(&world.file)
            .expect("exists")
            .is_symlink()
    );
    assert_eq!(inode(&world.file), old);
}
