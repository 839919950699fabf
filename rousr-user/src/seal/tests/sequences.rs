//! Random operations, refusals and other people's writers, against a model of what has to be.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Seal,
    Unseal,
    Window {
        leaves_orphan: bool,
        panics: bool,
    },
    Orphans(u32),
    /// Through the visible mount.
    Writers(u32),
    /// Through a mount elsewhere.
    WritersElsewhere(u32),
    Shared(bool),
    /// mount(8), by somebody else.
    Remount {
        mount: bool,
        superblock: bool,
    },
    Refuse(Call, i32),
    RefuseAtRandom(Vec<Option<i32>>),
    RefuseNothing,
}

fn errno() -> impl Strategy<Value = i32> {
    proptest::sample::select(vec![libc::EPERM, libc::EBUSY, libc::EROFS, libc::EIO])
}

fn operation() -> impl Strategy<Value = Operation> {
    let refusals = proptest::collection::vec(proptest::option::weighted(0.3, errno()), 1..12);
    prop_oneof![
        4 => Just(Operation::Seal),
        3 => Just(Operation::Unseal),
        5 => any::<(bool, bool)>()
            .prop_map(|(leaves_orphan, panics)| Operation::Window { leaves_orphan, panics }),
        2 => (0..3u32).prop_map(Operation::Orphans),
        1 => (0..2u32).prop_map(Operation::Writers),
        1 => (0..2u32).prop_map(Operation::WritersElsewhere),
        1 => any::<bool>().prop_map(Operation::Shared),
        1 => any::<(bool, bool)>()
            .prop_map(|(mount, superblock)| Operation::Remount { mount, superblock }),
        1 => (proptest::sample::select(Call::ALL.to_vec()), errno())
            .prop_map(|(call, errno)| Operation::Refuse(call, errno)),
        2 => refusals.prop_map(Operation::RefuseAtRandom),
        2 => Just(Operation::RefuseNothing),
    ]
}

/// What the kernel was like before an operation.
struct Before {
    state: MountState,
    blocked: bool,
    writers: bool,
    hindered: bool,
    /// One call at most will be refused.
    once: bool,
}

impl Before {
    fn of(kernel: &Model) -> Self {
        let scripted = kernel.script.iter().filter(|errno| errno.is_some()).count();
        Self {
            state: kernel.state,
            blocked: kernel.orphans + kernel.writers + kernel.writers_elsewhere > 0,
            writers: kernel.writers > 0,
            hindered: !kernel.refused.is_empty() || scripted > 0,
            once: kernel.refused.is_empty() && scripted <= 1,
        }
    }

    fn level(&self) -> Level {
        Level::of(self.state)
    }
}

fn check(
    seal: &Seal<FakeMounts>,
    kernel: &RefCell<Model>,
    operation: Operation,
) -> Result<(), TestCaseError> {
    kernel.borrow_mut().was_writable = false;
    let before = Before::of(&kernel.borrow());
    match operation {
        Operation::Orphans(orphans) => kernel.borrow_mut().orphans = orphans,
        // Nobody begins to write to what is shut.
        Operation::Writers(writers) => {
            let mut kernel = kernel.borrow_mut();
            kernel.writers = if kernel.writable() { writers } else { 0 };
        }
        Operation::WritersElsewhere(writers) => {
            let mut kernel = kernel.borrow_mut();
            let shut = kernel.state.superblock_read_only;
            kernel.writers_elsewhere = if shut { 0 } else { writers };
        }
        Operation::Shared(shared) => kernel.borrow_mut().state.shared_writable = shared,
        Operation::Remount { mount, superblock } => {
            let mut kernel = kernel.borrow_mut();
            kernel.state.mount_read_only = mount && kernel.writers == 0;
            kernel.state.superblock_read_only = superblock && !before.blocked;
        }
        Operation::Refuse(call, errno) => {
            kernel.borrow_mut().refused.insert(call, errno);
        }
        Operation::RefuseAtRandom(script) => kernel.borrow_mut().script = script.into(),
        Operation::RefuseNothing => {
            let mut kernel = kernel.borrow_mut();
            kernel.refused.clear();
            kernel.script.clear();
        }
        Operation::Seal => check_seal(seal, kernel, &before)?,
        Operation::Unseal => check_unseal(seal, kernel, &before)?,
        Operation::Window {
            leaves_orphan,
            panics,
        } => check_window(seal, kernel, &before, leaves_orphan, panics)?,
    }
    Ok(())
}

fn check_seal(
    seal: &Seal<FakeMounts>,
    kernel: &RefCell<Model>,
    before: &Before,
) -> Result<(), TestCaseError> {
    let level = seal.seal();
    let kernel = kernel.borrow();
    if let Ok(level) = level {
        prop_assert_eq!(level, Level::of(kernel.state));
    }
    prop_assert!(Level::of(kernel.state) >= before.level());
    prop_assert!(level.is_ok() || before.hindered || before.writers);
    if !before.hindered && !before.blocked {
        prop_assert_eq!(level.ok(), Some(Level::reachable(before.state)));
    }
    Ok(())
}

fn check_unseal(
    seal: &Seal<FakeMounts>,
    kernel: &RefCell<Model>,
    before: &Before,
) -> Result<(), TestCaseError> {
    let done = seal.unseal();
    let kernel = kernel.borrow();
    match done {
        Ok(()) => prop_assert_eq!(Level::of(kernel.state), Level::Open),
        Err(error) => {
            prop_assert!(before.hindered, "{}", error);
            // The way back may be refused, too, or blocked meanwhile.
            if before.once && !before.blocked {
                prop_assert!(Level::of(kernel.state) >= before.level(), "{}", error);
                prop_assert!(!matches!(error, Error::Stuck { .. }), "{}", error);
            }
        }
    }
    Ok(())
}

fn check_window(
    seal: &Seal<FakeMounts>,
    kernel: &RefCell<Model>,
    before: &Before,
    leaves_orphan: bool,
    panics: bool,
) -> Result<(), TestCaseError> {
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
    if before.level() > Level::Open {
        prop_assert!(
            !kernel.was_writable,
            "a write got through the visible mount"
        );
        prop_assert!(Level::of(kernel.state) > Level::Open);
    }
    if outcome.is_err() {
        prop_assert!(panics);
    }
    if !before.hindered && !before.blocked && !leaves_orphan {
        let expected = match before.level() {
            Level::Open => Level::Open,
            _ => Level::reachable(before.state),
        };
        prop_assert_eq!(Level::of(kernel.state), expected);
    }
    if let Ok(Ok(((), Ok(level)))) = outcome {
        prop_assert_eq!(level, Level::of(kernel.state));
        prop_assert!(level >= before.level() || kernel.orphans > 0 || before.hindered);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_sequence_opens_what_was_shut_or_claims_what_is_not(
        operations in proptest::collection::vec(operation(), 1..40)
    ) {
        let (seal, kernel) = machine(OPEN);
        for operation in operations {
            check(&seal, &kernel, operation)?;
        }
        // Whatever happened: once nothing is refused and nothing blocks, a seal seals.
        {
            let mut kernel = kernel.borrow_mut();
            kernel.refused.clear();
            kernel.script.clear();
            (kernel.orphans, kernel.writers, kernel.writers_elsewhere) = (0, 0, 0);
        }
        let reachable = Level::reachable(kernel.borrow().state);
        prop_assert_eq!(seal.seal().ok(), Some(reachable));
    }
}
