//! The steps between two moments.

use std::fmt;

use crate::state::{Birth, Death, Inode, Place, Slot, Work};

/// One atomic step of one party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A task, or the kernel on its behalf.
    Task(usize, Deed),
    /// A program on a hook.
    Program(usize, Place, Luck),
    /// The agent.
    Agent(Work),
    /// The ring buffer wakes the agent.
    Wake,
    /// A timer wakes the agent.
    Timer,
    /// A second hold is to be watched.
    Watch,
    /// The agent drops a hold that stays in use: the inode has another name.
    Unwatch(Inode),
    Kill,
    Start,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Find { inode: Inode, path: bool },
    FailEarly,
    Open,
    EnterBirth(Slot),
    Install(Slot),
    Fail(Slot),
    Close(Slot),
    Send(Slot),
    Receive(Slot),
    Drop(Slot),
    Lower(Slot),
    EnterDeath(Slot),
}

/// What befalls a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    Good,
    /// The kernel does not run it.
    Skipped,
    /// `FILES` takes no more.
    MapFull,
    /// Its pointer leads to the value of another inode.
    Elsewhere(Inode),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Task(_, deed) => deed.fmt(f),
            Self::Program(_, Place::Birth(slot, at), luck) => {
                write!(f, "file {slot}, its birth: ")?;
                at.fmt(f)?;
                luck.fmt(f)
            }
            Self::Program(_, Place::Death(slot, at), luck) => {
                write!(f, "file {slot}, its death: ")?;
                at.fmt(f)?;
                luck.fmt(f)
            }
            Self::Program(_, place, luck) => write!(f, "{place:?}{luck}"),
            Self::Agent(work) => write!(f, "agent: {work:?}"),
            Self::Wake => f.write_str("agent: woken by the ring, takes the records"),
            Self::Timer => f.write_str("agent: woken by the timer"),
            Self::Watch => f.write_str("agent: has one more hold"),
            Self::Unwatch(inode) => write!(f, "agent: drops the hold of {}", name(inode)),
            Self::Kill => f.write_str("agent: killed"),
            Self::Start => f.write_str("agent: a new one starts"),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Find { inode, path } => {
                let flag = if path { " for O_PATH" } else { "" };
                write!(f, "a task finds the path of {}{flag}", name(inode))
            }
            Self::FailEarly => f.write_str("a task finds a path and does not open it"),
            Self::Open => f.write_str("a found path is opened: the kernel's counter goes up"),
            Self::EnterBirth(slot) => write!(f, "file {slot}: enters file_open"),
            Self::Install(slot) => write!(f, "file {slot}: gets its descriptor"),
            Self::Fail(slot) => write!(f, "file {slot}: its open fails, the counter goes down"),
            Self::Close(slot) => write!(f, "file {slot}: its descriptor is closed"),
            Self::Send(slot) => write!(f, "file {slot}: sent through a socket"),
            Self::Receive(slot) => write!(f, "file {slot}: received from the socket"),
            Self::Drop(slot) => write!(f, "file {slot}: its socket goes"),
            Self::Lower(slot) => write!(f, "file {slot}: the kernel's counter goes down"),
            Self::EnterDeath(slot) => write!(f, "file {slot}: enters file_free_security"),
        }
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "reads WATCHED",
            Self::Insert(_) => "enters FILES",
            Self::Add(_) => "counts",
            Self::Wake => "the map was full: a loss is counted; wakes the agent",
        })
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "reads WATCHED",
            Self::Remove(_) => "leaves FILES",
            Self::Uncounted(_) => "was not counted, reads AGENT",
            Self::Subtract(_) => "is taken off",
            Self::Send(..) => "sends a record",
            Self::Lose => "the ring was full: counts a loss",
            Self::Wake => "wakes the agent, if the ring has room now",
        })
    }
}

impl fmt::Display for Luck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Good => Ok(()),
            Self::Skipped => f.write_str(": skipped"),
            Self::MapFull => f.write_str(": the map is full"),
            Self::Elsewhere(inode) => write!(f, ", through a stale pointer at {}", name(inode)),
        }
    }
}

/// What a trace calls an inode.
pub(crate) fn name(inode: Inode) -> char {
    char::from(b'A' + inode)
}
