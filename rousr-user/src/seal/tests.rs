//! The machine against a kernel that refuses and blocks at will.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use proptest::prelude::*;

use super::fake::{Call, FakeMounts, Model};
use super::{Error, Level, Seal};
use crate::sys::mount::MountState;

fn machine(state: MountState) -> (Seal<FakeMounts>, Rc<RefCell<Model>>) {
    let kernel = FakeMounts::default();
    kernel.0.borrow_mut().state = state;
    (Seal::new(kernel.clone(), "/usr"), kernel.0)
}

const OPEN: MountState = MountState {
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
fn whatever_is_refused_the_window_stays_shut_and_the_error_tells() {
    for call in Call::ALL {
        for errno in [
            libc::EPERM,
            libc::EINVAL,
            libc::ENOSYS,
            libc::EROFS,
            libc::EIO,
        ] {
            let (seal, kernel) = machine(SEALED);
            kernel.borrow_mut().refused.insert(call, errno);
            let outcome = seal.window(|_| ());
            let error = match outcome {
                Ok(((), Err(error))) => error,
                Ok(((), Ok(level))) => {
                    assert_eq!(
                        (call, level),
                        (Call::SetMountReadOnly, Level::Sealed),
                        "the one call not needed"
                    );
                    continue;
                }
                Err(error) => error,
            };
            let told = error.to_string();
            assert!(
                told.starts_with("/usr: cannot ") && told.contains("; "),
                "{told}"
            );
            let kernel = kernel.borrow();
            assert!(kernel.clones.is_empty() && !kernel.was_writable, "{call:?}");
            let superblock_left_writable = call == Call::SetSuperblockReadOnly;
            assert_eq!(
                kernel.state.superblock_read_only, !superblock_left_writable,
                "{call:?}"
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Seal,
    Unseal,
    Window { leaves_orphan: bool, panics: bool },
    Orphans(u32),
    Writers(u32),
    Shared(bool),
    Refuse(Call, i32),
    RefuseNothing,
}

fn step() -> impl Strategy<Value = Step> {
    let errno = prop_oneof![Just(libc::EPERM), Just(libc::EBUSY), Just(libc::EROFS)];
    prop_oneof![
        4 => Just(Step::Seal),
        2 => Just(Step::Unseal),
        4 => any::<(bool, bool)>().prop_map(|(leaves_orphan, panics)| Step::Window { leaves_orphan, panics }),
        2 => (0..3u32).prop_map(Step::Orphans),
        1 => (0..2u32).prop_map(Step::Writers),
        1 => any::<bool>().prop_map(Step::Shared),
        1 => (proptest::sample::select(Call::ALL.to_vec()), errno).prop_map(|(call, errno)| Step::Refuse(call, errno)),
        2 => Just(Step::RefuseNothing),
    ]
}

proptest! {
    #[test]
    fn no_sequence_opens_what_was_shut_or_claims_what_is_not(steps in proptest::collection::vec(step(), 1..40)) {
        let (seal, kernel) = machine(OPEN);
        for step in steps {
            let before = kernel.borrow().state;
            kernel.borrow_mut().was_writable = false;
            match step {
                Step::Orphans(orphans) => kernel.borrow_mut().orphans = orphans,
                // Nobody begins to write to what is shut.
                Step::Writers(writers) => {
                    let mut kernel = kernel.borrow_mut();
                    kernel.writers = if kernel.writable() { writers } else { 0 };
                }
                Step::Shared(shared) => kernel.borrow_mut().state.shared_writable = shared,
                Step::Refuse(call, errno) => { kernel.borrow_mut().refused.insert(call, errno); }
                Step::RefuseNothing => kernel.borrow_mut().refused.clear(),
                Step::Seal => {
                    let level = seal.seal();
                    let kernel = kernel.borrow();
                    prop_assert_eq!(level.as_ref().ok().copied(), level.is_ok().then(|| Level::of(kernel.state)));
                    prop_assert!(Level::of(kernel.state) >= Level::of(before));
                    let unhindered = kernel.refused.is_empty() && kernel.writers == 0;
                    prop_assert!(level.is_ok() || !unhindered);
                    if unhindered && kernel.orphans == 0 {
                        prop_assert_eq!(level.ok(), Some(Level::reachable(before)));
                    }
                }
                Step::Unseal => {
                    let done = seal.unseal().is_ok();
                    let kernel = kernel.borrow();
                    prop_assert!(done == (Level::of(kernel.state) == Level::Open) || !kernel.refused.is_empty());
                }
                Step::Window { leaves_orphan, panics } => {
                    let action = |_: std::os::fd::BorrowedFd<'_>| {
                        let mut kernel = kernel.borrow_mut();
                        assert!(kernel.writable() || kernel.writable_through_a_clone());
                        kernel.orphans += u32::from(leaves_orphan);
                        drop(kernel);
                        if panics {
                            resume_unwind(Box::new("as asked"));
                        }
                    };
                    let outcome = catch_unwind(AssertUnwindSafe(|| seal.window(action)));
                    let kernel = kernel.borrow();
                    prop_assert!(kernel.clones.is_empty());
                    if Level::of(before) > Level::Open {
                        prop_assert!(!kernel.was_writable, "a write got through the visible mount");
                        prop_assert!(kernel.state.mount_read_only || kernel.state.superblock_read_only);
                    }
                    if let Ok(Ok(((), Ok(level)))) = outcome {
                        prop_assert_eq!(level, Level::of(kernel.state));
                        if level < Level::of(before) {
                            prop_assert!(kernel.orphans > 0 || !kernel.refused.is_empty());
                        }
                    }
                }
            }
        }
    }
}
