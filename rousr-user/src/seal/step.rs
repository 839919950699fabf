//! The states, the steps between them, and which one comes next. Nothing here touches the kernel.

use super::Level;
use crate::sys::mount::MountState;

/// A state of the machine, from the most open to the most shut.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Writable for everybody.
    Open,
    /// Writable for us alone, through a private clone of the mount.
    Window,
    /// The visible mount is read-only, the superblock is not.
    MountSealed,
    /// The superblock is read-only.
    Sealed,
}

impl State {
    /// What it is for everybody else.
    pub fn level(self) -> Level {
        match self {
            Self::Open => Level::Open,
            Self::Window | Self::MountSealed => Level::MountSealed,
            Self::Sealed => Level::Sealed,
        }
    }
}

impl From<Level> for State {
    fn from(level: Level) -> Self {
        match level {
            Level::Open => Self::Open,
            Level::MountSealed => Self::MountSealed,
            Level::Sealed => Self::Sealed,
        }
    }
}

/// The private clone of the mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Twin {
    Missing,
    ReadOnly,
    Writable,
}

/// What is the case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Actual {
    pub(super) flags: MountState,
    pub(super) twin: Twin,
}

/// One call that turns something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    SealMount,
    OpenMount,
    SealSuperblock,
    OpenSuperblock,
    MakeTwin,
    OpenTwin,
    DropTwin,
}

impl Actual {
    pub(super) fn of(flags: MountState) -> Self {
        Self {
            flags,
            twin: Twin::Missing,
        }
    }

    pub(super) fn state(self) -> State {
        match State::from(Level::of(self.flags)) {
            State::MountSealed if self.twin == Twin::Writable => State::Window,
            state => state,
        }
    }

    /// The step to take for `target`; `None` once nothing is left to do.
    ///
    /// The order keeps the visible mount shut: its own flag is set before the superblock's is
    /// cleared, and cleared after it. A window of what is open for everybody is no step at all.
    pub(super) fn next(self, target: State) -> Option<Step> {
        let MountState {
            mount_read_only,
            superblock_read_only,
            ..
        } = self.flags;
        match target {
            State::Window if self.state() == State::Open => None,
            State::Window => (!mount_read_only)
                .then_some(Step::SealMount)
                .or(match self.twin {
                    Twin::Missing => Some(Step::MakeTwin),
                    Twin::ReadOnly => Some(Step::OpenTwin),
                    Twin::Writable => None,
                })
                .or(superblock_read_only.then_some(Step::OpenSuperblock)),
            // The clone goes first: nobody may begin to write through it any more.
            _ if self.twin != Twin::Missing => Some(Step::DropTwin),
            State::Open => superblock_read_only
                .then_some(Step::OpenSuperblock)
                .or(mount_read_only.then_some(Step::OpenMount)),
            State::MountSealed | State::Sealed if !mount_read_only => Some(Step::SealMount),
            State::MountSealed => None,
            State::Sealed => (!superblock_read_only).then_some(Step::SealSuperblock),
        }
    }

    /// What is the case once the step is done.
    pub(super) fn after(mut self, step: Step) -> Self {
        match step {
            Step::SealMount => self.flags.mount_read_only = true,
            Step::OpenMount => self.flags.mount_read_only = false,
            Step::SealSuperblock => self.flags.superblock_read_only = true,
            Step::OpenSuperblock => self.flags.superblock_read_only = false,
            // With the flag of what it is a copy of, which is set by then.
            Step::MakeTwin => self.twin = Twin::ReadOnly,
            Step::OpenTwin => self.twin = Twin::Writable,
            Step::DropTwin => self.twin = Twin::Missing,
        }
        self
    }
}

impl Step {
    /// What it is for, in an error.
    pub(super) fn purpose(self) -> &'static str {
        match self {
            Self::SealMount => "make the mount read-only",
            Self::OpenMount => "make the mount writable",
            Self::SealSuperblock => "make the superblock read-only",
            Self::OpenSuperblock => "make the superblock writable",
            Self::MakeTwin => "clone the mount",
            Self::OpenTwin => "make the mount's clone writable",
            Self::DropTwin => "let go of the mount's clone",
        }
    }

    /// Its system call, in an error.
    pub(super) fn call(self) -> &'static str {
        match self {
            Self::SealMount | Self::OpenMount | Self::OpenTwin => "mount_setattr",
            Self::SealSuperblock | Self::OpenSuperblock => "fsconfig",
            Self::MakeTwin => "open_tree",
            Self::DropTwin => "close",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 4] = [
        State::Open,
        State::Window,
        State::MountSealed,
        State::Sealed,
    ];

    fn everything() -> Vec<Actual> {
        let mut all = Vec::new();
        for bits in 0..8 {
            for twin in [Twin::Missing, Twin::ReadOnly, Twin::Writable] {
                let flags = MountState {
                    frozen: None,
                    mount_read_only: bits & 1 != 0,
                    superblock_read_only: bits & 2 != 0,
                    shared_writable: bits & 4 != 0,
                };
                all.push(Actual { flags, twin });
            }
        }
        all
    }

    fn writable(actual: Actual) -> bool {
        !actual.flags.mount_read_only && !actual.flags.superblock_read_only
    }

    #[test]
    fn every_target_is_reached_from_everywhere_and_nothing_opens_on_the_way() {
        for begin in everything() {
            for target in STATES {
                let mut actual = begin;
                let mut steps = Vec::new();
                while let Some(step) = actual.next(target) {
                    let then = actual.after(step);
                    assert_ne!(
                        then, actual,
                        "{begin:?} to {target:?}: {step:?} does nothing"
                    );
                    if target != State::Open && !writable(actual) {
                        assert!(
                            !writable(then),
                            "{begin:?} to {target:?}: {step:?} opens it"
                        );
                    }
                    actual = then;
                    steps.push(step);
                    assert!(steps.len() <= 4, "{begin:?} to {target:?}: {steps:?}");
                }
                let expected = match target {
                    State::Window if begin.state() == State::Open => State::Open,
                    // Nothing is opened in order to be half shut.
                    State::MountSealed if begin.flags.superblock_read_only => State::Sealed,
                    _ => target,
                };
                assert_eq!(
                    actual.state(),
                    expected,
                    "{begin:?} to {target:?}: {steps:?}"
                );
                if expected != State::Window && target != State::Window {
                    assert_eq!(actual.twin, Twin::Missing, "{begin:?} to {target:?}");
                }
            }
        }
    }

    #[test]
    fn states_are_ordered_and_amount_to_levels() {
        assert!(STATES.is_sorted());
        for level in [Level::Open, Level::MountSealed, Level::Sealed] {
            assert_eq!(State::from(level).level(), level);
        }
        assert_eq!(State::Window.level(), Level::MountSealed);
    }
}
