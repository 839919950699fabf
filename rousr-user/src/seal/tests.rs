//! The machine on a kernel that consists of flags.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

mod refusals;
mod sequences;

use super::fake::{Call, FakeMounts, Model};
use super::{Error, Level, Seal};
use crate::sys::mount::MountState;

fn machine(state: MountState) -> (Seal<FakeMounts>, Rc<RefCell<Model>>) {
    let kernel = FakeMounts::default();
    kernel.0.borrow_mut().state = state;
    (Seal::new(kernel.clone(), "/usr"), kernel.0)
}

const OPEN: MountState = MountState {
    frozen: None,
    mount_read_only: false,
    superblock_read_only: false,
    shared_writable: false,
};
const MOUNT_SEALED: MountState = MountState {
    mount_read_only: true,
    ..OPEN
};
const SEALED: MountState = MountState {
    superblock_read_only: true,
    ..MOUNT_SEALED
};

#[test]
fn seals_and_unseals_both_levels() {
    let (seal, _) = machine(OPEN);
    assert_eq!(seal.seal().expect("seals"), Level::Sealed);
    assert_eq!(seal.state().expect("reads"), SEALED);
    seal.unseal().expect("unseals");
    assert_eq!(seal.state().expect("reads"), OPEN);
}

#[test]
fn an_orphan_leaves_it_mount_sealed_until_it_goes() {
    let (seal, kernel) = machine(OPEN);
    kernel.borrow_mut().orphans = 1;
    assert_eq!(
        seal.seal().expect("an orphan is no error"),
        Level::MountSealed
    );
    assert_eq!(seal.level().expect("reads"), Level::MountSealed);
    kernel.borrow_mut().orphans = 0;
    assert_eq!(seal.seal().expect("seals"), Level::Sealed);
}

#[test]
fn a_writer_leaves_it_open_and_is_told() {
    let (seal, kernel) = machine(OPEN);
    kernel.borrow_mut().writers = 1;
    let error = seal.seal().expect_err("a writer is an error");
    assert!(matches!(error, Error::Writer { .. }), "{error}");
    assert!(
        error.to_string().contains("/usr") && error.to_string().contains("fuser"),
        "{error}"
    );
    assert_eq!(seal.level().expect("reads"), Level::Open);
}

#[test]
fn another_writable_mount_is_never_taken_along() {
    let (seal, kernel) = machine(MountState {
        shared_writable: true,
        ..OPEN
    });
    assert_eq!(seal.seal().expect("seals"), Level::MountSealed);
    let ((), after) = seal
        .window(|_| assert!(kernel.borrow().writable_through_a_clone()))
        .expect("opens");
    assert_eq!(after.expect("closes"), Level::MountSealed);
    assert!(!kernel.borrow().state.superblock_read_only);
}

#[test]
fn the_window_writes_only_through_the_clone() {
    for (state, after) in [(SEALED, Level::Sealed), (MOUNT_SEALED, Level::Sealed)] {
        let (seal, kernel) = machine(state);
        let (through_clone, level) = seal
            .window(|_| kernel.borrow().writable_through_a_clone())
            .expect("opens");
        assert!(through_clone);
        assert_eq!(level.expect("closes"), after);
        let kernel = kernel.borrow();
        assert!(!kernel.was_writable && kernel.clones.is_empty());
    }
}

#[test]
fn the_window_of_an_open_filesystem_is_the_filesystem() {
    let (seal, kernel) = machine(OPEN);
    let (clones, level) = seal
        .window(|_| kernel.borrow().clones.len())
        .expect("opens");
    assert_eq!((clones, level.expect("closes")), (0, Level::Open));
    assert_eq!(kernel.borrow().state, OPEN);
}

#[test]
fn a_superblock_that_is_read_only_alone_counts_as_sealed_and_stays_shut() {
    let (seal, kernel) = machine(MountState {
        mount_read_only: false,
        ..SEALED
    });
    assert_eq!(seal.level().expect("reads"), Level::Sealed);
    let ((), after) = seal.window(|_| ()).expect("opens");
    assert_eq!(after.expect("closes"), Level::Sealed);
    assert!(!kernel.borrow().was_writable);
}

#[test]
fn an_orphan_made_in_the_window_leaves_it_mount_sealed() {
    let (seal, kernel) = machine(SEALED);
    let ((), after) = seal
        .window(|_| kernel.borrow_mut().orphans = 1)
        .expect("opens");
    assert_eq!(after.expect("an orphan is no error"), Level::MountSealed);
}

#[test]
fn a_panic_closes_the_window() {
    let (seal, kernel) = machine(SEALED);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        seal.window(|_| resume_unwind(Box::new("as a reap might")))
    }));
    assert!(outcome.is_err());
    let kernel = kernel.borrow();
    assert_eq!(kernel.state, SEALED);
    assert!(kernel.clones.is_empty() && !kernel.was_writable);
}

#[test]
fn half_an_unseal_is_taken_back() {
    let (seal, kernel) = machine(SEALED);
    let refused = (Call::ClearMountReadOnly, libc::EPERM);
    kernel.borrow_mut().refused.extend([refused]);
    let error = seal.unseal().expect_err("is refused");
    assert!(
        error.to_string().contains("make the mount writable"),
        "{error}"
    );
    assert_eq!(seal.state().expect("reads"), SEALED);

    kernel
        .borrow_mut()
        .refused
        .extend([(Call::SetSuperblockReadOnly, libc::EIO)]);
    let error = seal.unseal().expect_err("is refused").to_string();
    for part in ["make the mount writable", "make the superblock read-only"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(seal.state().expect("reads"), MOUNT_SEALED);
}
