//! The ways to hold an inode, and how often each is taken.

use serde::{Deserialize, Serialize};

/// A way to hold an inode.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// An open file.
    Open,
    /// A descriptor opened with O_PATH.
    Path,
    /// A second descriptor of an open file.
    Dup,
    /// A forked process's copy of a descriptor.
    Fork,
    /// The same, released by an exec that closes it.
    CloseOnExec,
    /// A private mapping with a page of its own; the descriptor may be closed.
    PrivateMapping,
    /// A shared mapping.
    SharedMapping,
    /// A file opened through /proc/PID/map_files.
    MapFiles,
    /// A running program.
    Program,
    /// The interpreter of a running program.
    Interpreter,
    /// A descriptor that another process received.
    Received,
    /// A descriptor sent and not received.
    InFlight,
    /// The same in a socket that is reachable from nowhere once it is closed.
    DeadSocket,
    /// A fixed file of an io_uring.
    IoUring,
    /// The file of a loop device.
    LoopDevice,
    /// A swap area.
    Swap,
    /// A file of an overlay's lower layer.
    Overlay,
    /// A file opened by another of its names.
    HardLink,
    /// A file opened in a container: other mount and PID namespaces.
    Container,
    /// A descriptor taken by pidfd_getfd.
    PidfdGetfd,
    /// A mapping of a process that is killed while its memory is swapped out.
    Exit,
}

/// When a kind can be taken.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// An upgrade runs: no hold can be relied on yet.
    Upgrade,
    /// After it, the filesystem read-only.
    Sealed,
    /// After it, something keeps the filesystem writable, so that a swap area can be had.
    Blocked,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 21] = [
        Self::Open,
        Self::Path,
        Self::Dup,
        Self::Fork,
        Self::CloseOnExec,
        Self::PrivateMapping,
        Self::SharedMapping,
        Self::MapFiles,
        Self::Program,
        Self::Interpreter,
        Self::Received,
        Self::InFlight,
        Self::DeadSocket,
        Self::IoUring,
        Self::LoopDevice,
        Self::Swap,
        Self::Overlay,
        Self::HardLink,
        Self::Container,
        Self::PidfdGetfd,
        Self::Exit,
    ];

    /// Its share of the operations of a phase, relative to the others'.
    pub(super) fn weight(self, phase: Phase) -> u32 {
        match (self, phase) {
            (Self::Swap, Phase::Blocked) => 10,
            (Self::Swap, _) => 0,
            (kind, Phase::Upgrade) if kind.needs_hold() => 0,
            (Self::Overlay, _) => 6,
            (Self::HardLink | Self::Container, _) => 7,
            (Self::Fork | Self::CloseOnExec, _) => 4,
            // At their limit, draws are releases as often as not.
            (Self::LoopDevice, _) => 7,
            (Self::Program | Self::Interpreter, _) => 6,
            (Self::Open, _) => 7,
            _ => 5,
        }
    }

    /// How many are taken at once at most: as many descriptors in one message, or in one forked process.
    pub(super) fn batch(self) -> usize {
        match self {
            Self::Fork | Self::CloseOnExec | Self::Exit | Self::Overlay => 8,
            Self::Received | Self::PidfdGetfd | Self::Container | Self::InFlight => 5,
            Self::DeadSocket => 5,
            _ => 1,
        }
    }

    /// Twice the mean number of holders that are taken at once.
    fn twice_mean(self) -> u32 {
        match self {
            // At its limit a draw is a release as often as not.
            Self::Swap => 1,
            // Of both kinds one at each start.
            Self::Program | Self::Interpreter => 4,
            kind => kind.batch() as u32 + 1,
        }
    }

    /// How many a worker may have at once; more cost memory, or are not to be had.
    pub(super) fn limit(self) -> usize {
        match self {
            Self::Swap => 1,
            Self::LoopDevice => 8,
            Self::Program | Self::Interpreter => 12,
            Self::Fork | Self::CloseOnExec | Self::Exit => 48,
            Self::Overlay => 48,
            Self::IoUring => 512,
            Self::DeadSocket => 64,
            _ => usize::MAX,
        }
    }

    /// Whether its file can be opened, mapped and given away through its descriptor.
    pub(super) fn is_source(self) -> bool {
        matches!(
            self,
            Self::Open | Self::Path | Self::Dup | Self::MapFiles | Self::HardLink
        )
    }

    /// Whether it is had by the hold's own name, or by another of the inode's.
    pub(super) fn needs_hold(self) -> bool {
        matches!(
            self,
            Self::Swap | Self::Overlay | Self::HardLink | Self::Container
        )
    }

    /// Whether its file must be readable, as one opened with O_PATH is not.
    pub(super) fn needs_content(self) -> bool {
        matches!(
            self,
            Self::PrivateMapping
                | Self::SharedMapping
                | Self::IoUring
                | Self::LoopDevice
                | Self::Exit
        )
    }

    /// Whether it keeps the file that it is had from, and opens none.
    pub(super) fn shares_file(self) -> bool {
        matches!(
            self,
            Self::Dup
                | Self::Fork
                | Self::CloseOnExec
                | Self::PrivateMapping
                | Self::SharedMapping
                | Self::Received
                | Self::InFlight
                | Self::DeadSocket
                | Self::IoUring
                | Self::LoopDevice
                | Self::PidfdGetfd
                | Self::Exit
        )
    }

    /// Whether /proc or the kernel's iterators reach its file through a task.
    pub(super) fn is_visible(self) -> bool {
        !matches!(
            self,
            Self::InFlight
                | Self::DeadSocket
                | Self::IoUring
                | Self::LoopDevice
                | Self::Swap
                | Self::Overlay
        )
    }

    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Path => "path",
            Self::Dup => "dup",
            Self::Fork => "fork",
            Self::CloseOnExec => "close-on-exec",
            Self::PrivateMapping => "private-mapping",
            Self::SharedMapping => "shared-mapping",
            Self::MapFiles => "map-files",
            Self::Program => "program",
            Self::Interpreter => "interpreter",
            Self::Received => "received",
            Self::InFlight => "in-flight",
            Self::DeadSocket => "dead-socket",
            Self::IoUring => "io-uring",
            Self::LoopDevice => "loop-device",
            Self::Swap => "swap",
            Self::Overlay => "overlay",
            Self::HardLink => "hard-link",
            Self::Container => "container",
            Self::PidfdGetfd => "pidfd-getfd",
            Self::Exit => "exit",
        }
    }
}

/// Draws kinds so that their operations have the shares that their weights say.
#[derive(Debug)]
pub(super) struct Mix {
    /// Each kind with the sum of chances up to it.
    sums: Vec<(u32, Kind)>,
    total: u32,
}

impl Mix {
    pub(super) fn of(phase: Phase) -> Self {
        let mut total = 0;
        let mut sums = Vec::new();
        for kind in Kind::ALL {
            total += kind.weight(phase) * 720 / kind.twice_mean();
            sums.push((total, kind));
        }
        Self { sums, total }
    }

    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Kind {
        let point = random.u32(..self.total);
        let at = self.sums.partition_point(|&(sum, _)| sum <= point);
        self.sums[at].1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_are_those_of_reports() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::json!(kind), kind.name());
        }
    }

    /// A run spends a quarter of its operations in upgrades, and blocks each other round.
    #[test]
    fn no_kind_has_less_than_three_percent() {
        let share = |kind: Kind, phase| {
            let all: u32 = Kind::ALL.iter().map(|kind| kind.weight(phase)).sum();
            f64::from(kind.weight(phase)) / f64::from(all)
        };
        for kind in Kind::ALL {
            let whole = 0.25 * share(kind, Phase::Upgrade)
                + 0.375 * share(kind, Phase::Sealed)
                + 0.375 * share(kind, Phase::Blocked);
            assert!(whole >= 0.031, "{}: {whole:.4}", kind.name());
        }
    }

    #[test]
    fn draws_by_weight() {
        for phase in [Phase::Upgrade, Phase::Sealed, Phase::Blocked] {
            let mix = Mix::of(phase);
            let mut random = fastrand::Rng::with_seed(1);
            let mut operations: BTreeMap<Kind, f64> = BTreeMap::new();
            for _ in 0..200_000 {
                let kind = mix.draw(&mut random);
                *operations.entry(kind).or_default() += f64::from(kind.twice_mean());
            }
            let drawn: f64 = operations.values().sum();
            let all: u32 = Kind::ALL.iter().map(|kind| kind.weight(phase)).sum();
            for kind in Kind::ALL {
                let expected = f64::from(kind.weight(phase)) / f64::from(all);
                let drawn = operations.get(&kind).copied().unwrap_or(0.0) / drawn;
                assert!(
                    (drawn - expected).abs() < 0.005,
                    "{kind:?} in {phase:?}: {drawn:.4}, not {expected:.4}"
                );
            }
        }
    }
}
