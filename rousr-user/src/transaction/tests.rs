//! Whole transactions on a fake kernel: its flags and blockers are a model, the files are real.

use std::{
    collections::HashMap,
    fs::{self, File},
    future,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

mod configured;
#[path = "../../tests/support/holder.rs"]
mod holder;
mod newcomers;
mod openers;
mod reconcile;

use super::{
    Frontend, Keeper, Opener, Opening, Openings, Places,
    history::{What, transactions},
};
use crate::{
    dpkg::admin_dir::AdminDir,
    seal::{
        Level, Volume,
        fake::{Call, FakeMounts},
    },
    sys::{
        lease::HostLeases, links::HostLinks, mount::MountState, mountinfo::Device,
        namespace::Foreign,
    },
    track::{
        Health, News, Pin, TrackError, Tracker, Untracked,
        fanotify::{FanotifyTracker, Unavailable},
    },
};

use holder::holder_of;

const STREAM: &[u8] = b"VERSION 3\nDir=/\n\ndemo 1 amd64 none < 2 amd64 none /demo_2_amd64.deb\n";

/// A tracker that counts what the test says.
#[derive(Default)]
struct Counted {
    holders: HashMap<u64, u64>,
    watched: Vec<u64>,
}

impl Tracker for Counted {
    fn watch(&mut self, pins: Vec<Pin>) -> Result<(), TrackError> {
        self.watched.extend(pins.iter().map(|pin| pin.inode));
        Ok(())
    }

    fn unwatch(&mut self, inode: u64) {
        self.watched.retain(|&watched| watched != inode);
    }

    fn holders(&self, inode: u64) -> Option<u64> {
        let watched = self.watched.contains(&inode);
        watched.then(|| self.holders.get(&inode).copied().unwrap_or(0))
    }

    async fn news(&mut self) -> News {
        future::pending().await
    }

    fn health(&self) -> Health {
        Health {
            tracker: "counted",
            attached: true,
            watched: self.watched.len(),
            ..Health::default()
        }
    }
}

/// A preserve holds what any process uses of the filesystem: one world at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A sealed volume with one package, `demo`, of one file.
struct World {
    _turn: MutexGuard<'static, ()>,
    _volume: tempfile::TempDir,
    _state: tempfile::TempDir,
    mounts: FakeMounts,
    keeper: Keeper<FakeMounts, HostLinks, HostLeases>,
    file: PathBuf,
    record: PathBuf,
}

impl World {
    fn new(fstab: &str, state: MountState) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Not on the filesystem of the machine's own programs, which are in use, too.
        let volume = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
        let usr = volume.path().canonicalize().expect("exists");
        let state_directory = tempfile::tempdir().expect("a temporary directory");
        let top = state_directory.path().to_owned();
        let dpkg = top.join("dpkg");
        fs::create_dir_all(dpkg.join("info")).expect("makes the database");
        let file = usr.join("library.so");
        fs::write(&file, "old").expect("writes");
        fs::write(dpkg.join("info/demo.list"), format!("{}\n", file.display())).expect("writes");
        fs::write(
            top.join("fstab"),
            fstab.replace("/usr", &usr.display().to_string()),
        )
        .expect("writes");

        let mounts = FakeMounts::default();
        mounts.0.borrow_mut().root = Some(usr.clone());
        mounts.0.borrow_mut().state = state;
        let mounted = Volume {
            mount_point: usr,
            root: "/".into(),
            device: Device { major: 0, minor: 1 },
            fs_type: "ext4".into(),
            source: "/dev/fake".into(),
        };
        let record = top.join("run/open");
        let places = Places {
            config: top.join("rousr.conf"),
            fstab: top.join("fstab"),
            ledger: top.join("ledger"),
            history: top.join("history"),
            beside: None,
            disabled: top.join("disabled"),
            lock: top.join("run/lock"),
            openings: record.clone(),
            dpkg: AdminDir::new(dpkg),
        };
        let leases = HostLeases::new().expect("SIGIO can be ignored");
        let keeper = Keeper::new(mounted, mounts.clone(), HostLinks, leases, places);
        Self {
            _turn: turn,
            _volume: volume,
            _state: state_directory,
            mounts,
            keeper,
            file,
            record,
        }
    }

    fn sealed() -> Self {
        let read_only = MountState {
            mount_read_only: true,
            superblock_read_only: true,
            ..MountState::default()
        };
        Self::new("LABEL=usr /usr ext4 ro 0 2\n", read_only)
    }

    /// Sealed before, with a transaction open and the package's file held.
    fn begun() -> Self {
        let world = Self::sealed();
        world.keeper.begin().expect("begins");
        world.keeper.preserve(STREAM).expect("preserves");
        world
    }

    fn upgrade(&self) {
        let new = self.file.with_extension("dpkg-new");
        fs::write(&new, "new").expect("writes");
        fs::rename(new, &self.file).expect("renames");
    }

    fn holds(&self) -> Vec<u64> {
        let listing = self.keeper.holds().expect("lists");
        listing.holds.iter().map(|hold| hold.inode).collect()
    }

    fn level(&self) -> Level {
        self.keeper.level().expect("a level")
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("exists").ino()
}

#[test]
fn a_held_file_goes_with_its_last_holder() {
    let world = World::sealed();
    let mut tracker = Counted::default();
    let old = inode(&world.file);
    let holder = File::open(&world.file).expect("opens");

    assert_eq!(world.keeper.begin().expect("begins").level, Level::Open);
    let preserved = world.keeper.preserve(STREAM).expect("preserves");
    assert_eq!(
        (preserved.preserved, preserved.warnings.as_slice()),
        (1, &[] as &[String])
    );
    world.upgrade();
    tracker.holders.insert(old, 1);
    let finished = world.keeper.finish(&mut tracker).expect("finishes");
    assert_eq!(
        (finished.level, finished.kept, finished.reaped),
        (Level::Sealed, 1, 0)
    );
    assert_eq!(
        (world.holds(), tracker.watched.as_slice()),
        (vec![old], &[old][..])
    );
    assert!(!world.record.exists());

    // A count that is wrong costs nothing: the lease says that the file is open.
    tracker.holders.insert(old, 0);
    let early = world.keeper.reap(&mut tracker, [old]).expect("looks");
    assert!(early.reaped.is_empty() && early.level.is_none());
    assert_eq!(world.holds(), [old]);

    drop(holder);
    let reaping = world.keeper.reap(&mut tracker, [old]).expect("reaps");
    assert_eq!(reaping.level, Some(Level::Sealed));
    assert_eq!(reaping.reaped.len(), 1);
    assert_eq!(reaping.reaped[0].path(), Some(world.file.as_path()));
    assert!(world.holds().is_empty() && tracker.watched.is_empty());

    let hold = Box::new(reaping.reaped[0].record.clone());
    let last_holder = None;
    let what = What::Reaped { hold, last_holder };
    world.keeper.remember([what]).expect("remembered");
    let (events, damages) = world.keeper.history().load().expect("read");
    assert!(damages.is_empty(), "{damages:?}");
    let all = transactions(events);
    let [one] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(one.openers, [Opener::Transaction]);
    assert_eq!(one.packages[0].name, "demo");
    assert_eq!((one.holds, one.settled, one.kept), (1, 0, 1));
    assert_eq!(one.level, Some(Level::Sealed));
    assert!(one.ended_unix_milliseconds.is_some());
    assert_eq!(
        one.reaped[0].hold.path.as_deref(),
        Some(world.file.as_path())
    );
}

/// As where the agent dies in the middle, and the hook does all of its work.
#[test]
fn an_entry_in_use_that_was_taken_stays_taken() {
    const REMOVAL: &[u8] = b"VERSION 3\nDir=/\n\ndemo 1 amd64 none > - - none **REMOVE**\n";
    let world = World::sealed();
    world.keeper.begin().expect("begins");
    let old = inode(&world.file);
    let mut holder = holder_of(&world.file);
    let used = format!("/proc/{}/fd/3", holder.id());
    for again in [false, true] {
        world.keeper.preserve(REMOVAL).expect("preserves");
        let entry = fs::read_link(&used).expect("it runs");
        assert!(
            entry.ends_with(format!(".rousr/{old}")),
            "{again}: {}",
            entry.display()
        );
        assert_eq!(
            inode(&world.file),
            old,
            "its name is there until dpkg removes it"
        );
    }
    holder.kill().expect("killed");
    holder.wait().expect("ended");
}

/// Its last user has it by the hold's own name.
#[test]
fn a_hold_in_the_place_of_a_removed_file_outlives_other_transactions() {
    const REMOVAL: &[u8] = b"VERSION 3\nDir=/\n\ndemo 1 amd64 none > - - none **REMOVE**\n";
    let world = World::sealed();
    let old = inode(&world.file);
    let mut tracker = Counted::default();
    tracker.holders.insert(old, 1);
    let mut holder = holder_of(&world.file);
    world.keeper.begin().expect("begins");
    world.keeper.preserve(REMOVAL).expect("preserves");
    fs::remove_file(&world.file).expect("dpkg removes it");
    world.keeper.finish(&mut tracker).expect("finishes");
    for _ in 0..2 {
        assert_eq!(world.holds(), [old]);
        let (entries, _) = world.keeper.ledger().load();
        let names: Vec<&Path> = entries[&old]
            .names
            .iter()
            .map(|name| name.path.as_path())
            .collect();
        assert_eq!(names, [world.file.as_path()]);
        let opener = Opener::Administrator { until: None };
        world.keeper.open_and_preserve(opener).expect("opens");
        world.keeper.close(&mut tracker, opener).expect("closes");
    }
    assert_eq!(world.holds(), [old]);
    holder.kill().expect("killed");
    holder.wait().expect("ended");
}

#[test]
fn what_was_not_replaced_is_dropped_and_what_is_unused_goes_at_once() {
    for replaced in [false, true] {
        let world = World::begun();
        if replaced {
            world.upgrade();
        }
        let finished = world
            .keeper
            .finish(&mut Counted::default())
            .expect("finishes");
        assert_eq!(
            (finished.kept, finished.reaped),
            (0, replaced.into()),
            "{replaced}"
        );
        assert!(world.holds().is_empty());
        assert_eq!(world.level(), Level::Sealed);
        assert!(world.file.exists());
    }
}

#[test]
fn a_blocker_leaves_it_mount_sealed() {
    let world = World::sealed();
    world.keeper.begin().expect("begins");
    world.mounts.0.borrow_mut().orphans = 1;
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(
        (finished.level, finished.wanted),
        (Level::MountSealed, Level::Sealed)
    );
    assert_eq!(world.keeper.wanted().expect("wanted"), Level::Sealed);
}

#[test]
fn a_writer_leaves_the_transaction_on_record() {
    let world = World::sealed();
    world.keeper.begin().expect("begins");
    world.mounts.0.borrow_mut().writers = 1;
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(finished.level, Level::Open);
    let told = finished.warnings.concat();
    assert!(told.contains("something is writing there"), "{told}");
    assert!(world.record.exists());
    world.mounts.0.borrow_mut().writers = 0;
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(finished.level, Level::Sealed);
}

#[test]
fn what_cannot_be_unsealed_stays_sealed_and_no_transaction_is_open() {
    for call in [Call::ClearSuperblockReadOnly, Call::ClearMountReadOnly] {
        let world = World::sealed();
        world
            .mounts
            .0
            .borrow_mut()
            .refused
            .insert(call, libc::EROFS);
        let error = world.keeper.begin().expect_err("refused");
        assert!(error.to_string().contains("dmesg"), "{error}");
        assert_eq!(world.level(), Level::Sealed);
        assert!(!world.record.exists());
    }
}

#[test]
fn what_was_never_sealed_is_left_alone() {
    let world = World::new("LABEL=usr /usr ext4 defaults 0 2\n", MountState::default());
    assert_eq!(world.keeper.begin().expect("begins").wanted, Level::Open);
    assert_eq!(
        world.keeper.preserve(STREAM).expect("preserves").preserved,
        0
    );
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(
        (finished.level, finished.wanted),
        (Level::Open, Level::Open)
    );
    assert!(!world.file.with_file_name(".rousr").exists());
}

#[test]
fn a_malformed_line_costs_its_own_package_only() {
    let world = World::sealed();
    world.keeper.begin().expect("begins");
    let stream = [STREAM, b"nonsense\n"].concat();
    let preserved = world.keeper.preserve(&stream).expect("preserves");
    assert_eq!(preserved.preserved, 1);
    assert!(
        preserved
            .warnings
            .iter()
            .any(|warning| warning.contains("line 5")),
        "{preserved:?}"
    );
}

#[test]
fn a_restart_finds_what_is_wanted_in_the_record() {
    // Writable, and no fstab says otherwise: only the record knows that it was sealed.
    let world = World::new("", MountState::default());
    let mut openings = Openings::new(Level::Sealed);
    openings.add(Opening {
        opener: Opener::Transaction,
        began: 1,
    });
    openings.store(&world.record).expect("stored");
    let finished = world
        .keeper
        .finish(&mut Counted::default())
        .expect("finishes");
    assert_eq!(
        (finished.level, finished.wanted),
        (Level::Sealed, Level::Sealed)
    );
    assert!(!world.record.exists());
}

#[test]
fn without_a_tracker_a_hold_waits_for_the_next_transaction() {
    let world = World::sealed();
    let mut tracker = Untracked::new("BPF is refused");
    let old = inode(&world.file);
    let holder = File::open(&world.file).expect("opens");
    world.keeper.begin().expect("begins");
    world.keeper.preserve(STREAM).expect("preserves");
    world.upgrade();
    let finished = world.keeper.finish(&mut tracker).expect("finishes");
    assert_eq!((finished.level, finished.kept), (Level::Sealed, 1));
    assert_eq!(world.holds(), [old]);

    drop(holder);
    world.keeper.begin().expect("begins");
    let next = world.keeper.finish(&mut tracker).expect("finishes");
    assert_eq!((next.level, next.kept, next.reaped), (Level::Sealed, 0, 1));
    assert!(world.holds().is_empty());
}

#[tokio::test]
async fn where_bpf_is_refused_fanotify_tells_of_the_last_close() {
    let world = World::sealed();
    let mut tracker = match FanotifyTracker::open(&world.keeper.volume().mount_point, "a test") {
        Ok(tracker) => tracker,
        Err(error @ Unavailable::Refused(_)) => return eprintln!("{error}"),
        Err(error) => panic!("{error}"),
    };
    let old = inode(&world.file);
    let mut holders = [holder_of(&world.file), holder_of(&world.file)];
    world.keeper.begin().expect("begins");
    world.keeper.preserve(STREAM).expect("preserves");
    world.upgrade();
    let finished = world.keeper.finish(&mut tracker).expect("finishes");
    assert_eq!((finished.level, finished.kept), (Level::Sealed, 1));
    assert_eq!((world.holds(), tracker.health().watched), (vec![old], 1));

    for (left, holder) in holders.iter_mut().enumerate().rev() {
        drop(holder.stdin.take());
        holder.wait().expect("ends");
        if left > 0 {
            let news = tracker.news().await;
            let inodes = news.releases.iter().map(|release| release.inode);
            let early = world.keeper.reap(&mut tracker, inodes).expect("looks");
            assert!(early.reaped.is_empty(), "{early:?}");
        }
    }
    let reaped = async {
        loop {
            let news = tracker.news().await;
            let inodes = news.releases.iter().map(|release| release.inode);
            let reaping = world.keeper.reap(&mut tracker, inodes).expect("reaps");
            if !reaping.reaped.is_empty() {
                break reaping.reaped[0].inode;
            }
        }
    };
    let patience = std::time::Duration::from_secs(20);
    let reaped = tokio::time::timeout(patience, reaped).await;
    assert_eq!(reaped, Ok(old));
    assert!(world.holds().is_empty() && tracker.health().watched == 0);
}
