//! Each call refused at each step of each move.

use super::*;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Move {
    Seal,
    Unseal,
    Window,
    SealElsewhere,
}

const MOVES: [Move; 4] = [Move::Seal, Move::Unseal, Move::Window, Move::SealElsewhere];
const ERRNOS: [i32; 6] = [
    libc::EPERM,
    libc::EINVAL,
    libc::ENOSYS,
    libc::EROFS,
    libc::EIO,
    libc::EBUSY,
];

/// What a move said: the level it claims, and its error.
fn make(seal: &Seal<FakeMounts>, which: Move) -> (Option<Level>, Option<Error>) {
    match which {
        Move::Seal => claim(seal.seal()),
        Move::Unseal => claim(seal.unseal().map(|()| Level::Open)),
        Move::Window => match seal.window(|_| ()) {
            Ok(((), level)) => claim(level),
            Err(error) => claim(Err(error)),
        },
        Move::SealElsewhere => match seal.seal_elsewhere() {
            Ok(_) => (None, None),
            Err(error) => claim(Err(error)),
        },
    }
}

fn claim(level: Result<Level, Error>) -> (Option<Level>, Option<Error>) {
    match level {
        Ok(level) => (Some(level), None),
        Err(error) => (None, Some(error)),
    }
}

fn starts() -> Vec<MountState> {
    let mut all = Vec::new();
    for bits in 0..8 {
        all.push(MountState {
            frozen: None,
            mount_read_only: bits & 1 != 0,
            superblock_read_only: bits & 2 != 0,
            shared_writable: bits & 4 != 0,
        });
    }
    all
}

/// The calls that a move makes where nothing is refused.
fn calls(start: MountState, which: Move) -> usize {
    let (seal, kernel) = machine(start);
    let (_, error) = make(&seal, which);
    assert!(error.is_none(), "{start:?} {which:?}: {error:?}");
    kernel.borrow().done.len()
}

#[test]
fn the_state_is_the_kernels_nothing_is_more_open_and_the_error_tells() {
    let mut refusals = 0;
    for start in starts() {
        for which in MOVES {
            for call in 0..calls(start, which) {
                for errno in ERRNOS {
                    refuse(start, which, call, errno);
                    refusals += 1;
                }
            }
        }
    }
    assert!(refusals > 500, "{refusals}");
}

fn refuse(start: MountState, which: Move, call: usize, errno: i32) {
    let case = format!("{which:?} from {start:?}, call {call} fails with {errno}");
    let (seal, kernel) = machine(start);
    let script = (0..call).map(|_| None).chain([Some(errno)]).collect();
    kernel.borrow_mut().script = script;
    let (claimed, error) = make(&seal, which);

    let kernel = kernel.borrow();
    assert!(kernel.script.is_empty(), "{case}: the call was not made");
    let level = Level::of(kernel.state);
    if let Some(claimed) = claimed {
        assert_eq!(claimed, level, "{case}");
    }
    assert!(kernel.clones.is_empty(), "{case}: a clone stays");
    if Level::of(start) > Level::Open && which != Move::Unseal {
        assert!(!kernel.was_writable, "{case}: writable for a moment");
    }
    let is_end_of_window = which == Move::Window && last(&kernel.done) == Some(false);
    if !is_end_of_window {
        let reached = if claimed == Some(Level::Open) {
            Level::Open
        } else {
            Level::of(start)
        };
        assert!(level >= reached, "{case}: more open than before");
    }
    let is_blocked = errno == libc::EBUSY && claimed == Some(Level::MountSealed);
    match error {
        Some(error) => {
            let told = error.to_string();
            assert!(
                told.starts_with("/usr: ") && told.contains("; "),
                "{case}: {told}"
            );
        }
        None => assert!(is_blocked, "{case}: an error is swallowed"),
    }
}

/// What the last call did to the superblock's flag, of the calls that turned it.
fn last(done: &[Call]) -> Option<bool> {
    done.iter().rev().find_map(|call| match call {
        Call::SetSuperblockReadOnly => Some(true),
        Call::ClearSuperblockReadOnly => Some(false),
        _ => None,
    })
}

#[test]
fn a_window_ends_where_its_action_fails() {
    let (seal, kernel) = machine(SEALED);
    let failing =
        |_: std::os::fd::BorrowedFd<'_>| Err::<(), _>(std::io::Error::other("as a reap might"));
    let (result, level) = seal.window(failing).expect("opens");
    assert!(result.is_err());
    assert_eq!(level.expect("closes"), Level::Sealed);
    assert_eq!(kernel.borrow().state, SEALED);
}

#[test]
fn a_window_that_could_not_be_shut_is_shut_by_the_next_seal() {
    let (seal, kernel) = machine(SEALED);
    kernel
        .borrow_mut()
        .refused
        .extend([(Call::SetSuperblockReadOnly, libc::EIO)]);
    let ((), level) = seal.window(|_| ()).expect("opens");
    assert!(level.is_err());
    assert_eq!(seal.level().expect("reads"), Level::MountSealed);
    kernel.borrow_mut().refused.clear();
    assert_eq!(seal.seal().expect("seals"), Level::Sealed);
    assert!(!kernel.borrow().was_writable);
}
