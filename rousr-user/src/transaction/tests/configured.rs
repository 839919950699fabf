//! What the configuration says is wanted.

use super::*;
use crate::seal::wanted::Source;

fn configure(world: &World, text: &str) {
    let path = &world.keeper.places.config;
    fs::write(path, text).expect("writes");
}

fn open() -> World {
    World::new("LABEL=usr /usr ext4 defaults 0 2\n", MountState::default())
}

#[test]
fn read_only_is_sealed_whatever_fstab_says() {
    let world = open();
    configure(&world, "usr = \"read-only\"\n");
    let begun = world.keeper.begin().expect("begins");
    assert_eq!((begun.level, begun.wanted), (Level::Open, Level::Sealed));
    assert!(world.keeper.preserve(STREAM).expect("preserves").preserved > 0);
    world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(world.level(), Level::Sealed);
    let wanted = world.keeper.wanted_by().expect("wanted");
    assert_eq!(wanted.by, Source::Configuration);
}

#[test]
fn writable_is_never_sealed() {
    let world = World::sealed();
    world.keeper.begin().expect("begins");
    // Also where something else was wanted when it was opened.
    configure(&world, "usr = \"writable\"\n");
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(
        (finished.level, finished.wanted),
        (Level::Open, Level::Open)
    );
    assert!(!world.record.exists());
    let begun = world.keeper.begin().expect("begins");
    assert_eq!((begun.level, begun.preserved), (Level::Open, 0));
    world
        .keeper
        .end_abandoned(&mut Counted::default())
        .expect("starts");
    assert_eq!(world.level(), Level::Open);
}

#[test]
fn what_is_not_understood_is_told_and_fstab_counts() {
    let world = World::sealed();
    configure(&world, "usr = \"writeable\"\n");
    let begun = world.keeper.begin().expect("begins");
    assert_eq!(begun.wanted, Level::Sealed);
    let told = begun.warnings.join("\n");
    assert!(
        told.contains("rousr.conf:1: ") && told.contains("writeable"),
        "{told}"
    );
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(finished.level, Level::Sealed);
}
