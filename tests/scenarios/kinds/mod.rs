//! Files held in every way there is, through a real upgrade.

mod all;
mod memory;
mod pins;
mod writers;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rousr_tests::{
    HOLDS, SOON, holds, inode, is_sealed,
    kinds::{Holder, Kind},
    package::{self, FOLDER, Packed},
    succeed,
};

/// A package with one file for each kind, in the version that is installed first.
fn old_package() -> PathBuf {
    package::build("1.0", &files(1))
}

/// And in the one that replaces it.
fn new_package() -> PathBuf {
    package::build("2.0", &files(2))
}

fn files(salt: u64) -> Vec<Packed> {
    let one = |kind: Kind| Packed {
        name: kind.name().to_owned(),
        content: kind.needs().content(salt).expect("a content"),
        mode: kind.needs().mode(),
    };
    Kind::ALL.into_iter().map(one).collect()
}

/// The file of a kind.
fn public(kind: Kind) -> PathBuf {
    Path::new(FOLDER).join(kind.name())
}

/// Its inode number.
#[track_caller]
fn inode_of(kind: Kind) -> u64 {
    inode(public(kind).to_str().expect("UTF-8"))
}

/// A hold.
fn kept(inode: u64) -> PathBuf {
    Path::new(HOLDS).join(inode.to_string())
}

#[track_caller]
fn hold(kind: Kind, path: &Path) -> Holder {
    kind.hold(path)
        .unwrap_or_else(|error| panic!("{} of {}: {error}", kind.name(), path.display()))
}

/// What an administrator does who changes /usr by hand.
fn make_writable() {
    succeed("mount -o remount,rw /usr");
}

/// Whether a hold goes and leaves /usr sealed, and after how long.
fn reaped(inode: u64) -> Result<Duration, String> {
    let begin = Instant::now();
    while holds().contains(&inode) || !is_sealed() {
        if begin.elapsed() > SOON {
            return Err(format!("not reaped within {SOON:?}: {inode}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(begin.elapsed())
}
