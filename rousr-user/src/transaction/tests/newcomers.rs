//! Files that are opened after it was looked at what is in use.

use super::*;
use crate::{hold::Caught, track::Newcomer};

/// As a trigger replaces what no package lists.
fn replace(path: &Path) {
    let new = path.with_extension("new");
    fs::write(&new, "new").expect("writes");
    fs::rename(new, path).expect("renames");
}

impl World {
    /// A file that no package lists and nobody uses.
    fn unlisted(&self, name: &str) -> PathBuf {
        let path = self.file.with_file_name(name);
        fs::write(&path, "old").expect("writes");
        path
    }

    /// The kernel tells that these were opened.
    fn opened(&self, paths: &[&Path]) -> Caught {
        let newcomers: Vec<Newcomer> = (paths.iter())
            .map(|path| Newcomer {
                inode: inode(path),
                path: Some(path.to_path_buf()),
            })
            .collect();
        let (caught, warnings) = self.keeper.preserve_opened(&newcomers).expect("caught");
        assert!(warnings.is_empty(), "{warnings:?}");
        caught
    }
}

#[test]
fn what_is_opened_and_then_replaced_goes_with_its_last_holder() {
    let world = World::sealed();
    let mut tracker = Counted::default();
    let (cache, other) = (world.unlisted("cache"), world.unlisted("other"));
    let old = inode(&cache);
    world.keeper.begin().expect("begins");
    world.keeper.preserve(STREAM).expect("preserves");
    assert!(!world.holds().contains(&old));

    let holder = File::open(&cache).expect("opens");
    let caught = world.opened(&[&cache, &other]);
    assert_eq!((caught.names.len(), caught.missed), (2, 0));
    replace(&cache);
    tracker.holders.insert(old, 1);
    let finished = world.keeper.finish(&mut tracker).expect("finishes");
    assert_eq!((finished.level, finished.kept), (Level::Sealed, 1));
    assert_eq!(world.holds(), [old], "the other one was not replaced");
    let (entries, _) = world.keeper.ledger().load();
    assert_eq!(entries[&old].names[0].path, cache);

    drop(holder);
    tracker.holders.insert(old, 0);
    let reaping = world.keeper.reap(&mut tracker, [old]).expect("reaps");
    assert_eq!(reaping.reaped[0].path(), Some(cache.as_path()));
    assert!(world.holds().is_empty());
}

#[test]
fn what_was_closed_before_it_was_replaced_goes_at_once() {
    let world = World::begun();
    let cache = world.unlisted("cache");
    world.opened(&[&cache]);
    replace(&cache);
    let finished = world.keeper.finish(&mut Counted::default());
    // With the package's file, which was not replaced, it is all there was.
    let finished = finished.expect("finishes");
    assert_eq!((finished.kept, finished.reaped), (0, 1));
    assert!(world.holds().is_empty());
}

/// What the package is and becomes is known by its list, and stays known.
#[test]
fn a_file_that_was_held_before_keeps_its_origin() {
    let world = World::begun();
    let caught = world.opened(&[&world.file]);
    assert_eq!((caught.names.len(), caught.already), (0, 1));
    let (entries, _) = world.keeper.ledger().load();
    let origin = entries[&inode(&world.file)].names[0].origin.as_ref();
    assert_eq!(origin.expect("known").package, "demo");
}

/// Its name was taken before it was heard of: nothing can be linked then.
#[test]
fn what_lost_its_name_before_it_was_told_is_missed() {
    let world = World::begun();
    let cache = world.unlisted("cache");
    let old = inode(&cache);
    let _holder = File::open(&cache).expect("opens");
    replace(&cache);
    let late = Newcomer {
        inode: old,
        path: Some(cache),
    };
    let (caught, _) = world.keeper.preserve_opened(&[late]).expect("looks");
    assert_eq!((caught.names.len(), caught.missed), (0, 1));
    assert_eq!(world.holds(), [inode(&world.file)]);
}

#[test]
fn what_is_told_after_the_end_gets_no_hold() {
    let world = World::begun();
    let cache = world.unlisted("cache");
    world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    let caught = world.opened(&[&cache]);
    assert_eq!((caught.names.len(), caught.missed), (0, 0));
    assert!(world.holds().is_empty());
    assert_eq!(world.level(), Level::Sealed);
}
