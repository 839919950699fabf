//! What each kind is.

use super::{Counts, Needs};

/// A way to keep an inode in use.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A descriptor, O_RDONLY.
    Descriptor,
    /// A descriptor that a child had between fork and exec only.
    CloseOnExec,
    /// Two descriptors of one open file.
    Dup,
    /// A descriptor that a child has inherited and its parent closed.
    Fork,
    /// A descriptor in the table of one thread, which no other thread of the process has.
    ThreadTable,
    /// An O_PATH descriptor.
    Path,
    /// A file opened once more through /proc/PID/fd: two open files.
    Reopened,
    /// A file taken out of another process with pidfd_getfd.
    PidfdGetfd,
    /// A private mapping without a descriptor.
    MappingPrivate,
    /// A shared mapping without a descriptor.
    MappingShared,
    /// A file opened through /proc/PID/map_files; the mapping is gone.
    MapFiles,
    /// A running program.
    Executable,
    /// The interpreter of a running script.
    Interpreter,
    /// A script that its shell reads.
    Script,
    /// A descriptor in flight in a socket.
    InFlight,
    /// A descriptor in flight in a socket that is in flight in another.
    InFlightNested,
    /// A descriptor in flight in a socket that only itself keeps: the kernel collects it some time.
    DeadSocket,
    /// A fixed file of an io_uring.
    IoUringFixed,
    /// The backing file of a loop device.
    Loop,
    /// A swap file.
    Swap,
    /// A file opened through an overlay with its directory below.
    OverlayLower,
    /// A file opened through another hard link, which is gone.
    OtherHardLink,
    /// A file opened through a mount of another mount namespace.
    OtherNamespace,
    /// A process in mount and pid namespaces of its own, with another root.
    Container,
    /// A file opened with access mode 3, for ioctls only: neither reader nor writer to the kernel.
    AccessModeThree,
    /// A file open for writing.
    Writer,
    /// An O_TMPFILE file in the same directory: another inode, so it counts for nothing.
    TmpFile,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Descriptor,
        Self::CloseOnExec,
        Self::Dup,
        Self::Fork,
        Self::ThreadTable,
        Self::Path,
        Self::Reopened,
        Self::PidfdGetfd,
        Self::MappingPrivate,
        Self::MappingShared,
        Self::MapFiles,
        Self::Executable,
        Self::Interpreter,
        Self::Script,
        Self::InFlight,
        Self::InFlightNested,
        Self::DeadSocket,
        Self::IoUringFixed,
        Self::Loop,
        Self::Swap,
        Self::OverlayLower,
        Self::OtherHardLink,
        Self::OtherNamespace,
        Self::Container,
        Self::AccessModeThree,
        Self::Writer,
        Self::TmpFile,
    ];

    /// Its name, as reports show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::CloseOnExec => "close-on-exec",
            Self::Dup => "dup",
            Self::Fork => "fork",
            Self::ThreadTable => "thread-table",
            Self::Path => "o-path",
            Self::Reopened => "reopened",
            Self::PidfdGetfd => "pidfd-getfd",
            Self::MappingPrivate => "mapping-private",
            Self::MappingShared => "mapping-shared",
            Self::MapFiles => "map-files",
            Self::Executable => "executable",
            Self::Interpreter => "interpreter",
            Self::Script => "script",
            Self::InFlight => "in-flight",
            Self::InFlightNested => "in-flight-nested",
            Self::DeadSocket => "dead-socket",
            Self::IoUringFixed => "io-uring-fixed",
            Self::Loop => "loop",
            Self::Swap => "swap",
            Self::OverlayLower => "overlay-lower",
            Self::OtherHardLink => "other-hard-link",
            Self::OtherNamespace => "other-namespace",
            Self::Container => "container",
            Self::AccessModeThree => "access-mode-3",
            Self::Writer => "writer",
            Self::TmpFile => "o-tmpfile",
        }
    }

    /// What the file has to contain.
    pub fn needs(self) -> Needs {
        match self {
            Self::Executable | Self::Interpreter => Needs::Executable,
            Self::Script => Needs::Script,
            Self::Loop => Needs::Blocks,
            Self::Swap => Needs::Swap,
            _ => Needs::Plain,
        }
    }

    /// Whether the superblock has to be writable while the hold begins.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::Swap | Self::OtherHardLink | Self::AccessModeThree | Self::Writer | Self::TmpFile
        )
    }

    /// Whether the superblock cannot become read-only while this holds.
    pub fn blocks_seal(self) -> bool {
        matches!(self, Self::Swap | Self::Writer | Self::TmpFile)
    }

    /// Whether a walk over all tasks' descriptors and mappings, as the iterators do it, reaches it.
    pub fn in_tasks(self) -> bool {
        !matches!(
            self,
            Self::InFlight
                | Self::InFlightNested
                | Self::DeadSocket
                | Self::IoUringFixed
                | Self::Loop
                | Self::Swap
                | Self::OverlayLower
        )
    }

    /// Whether a program is started for it, which takes a hundred times as long as an open.
    pub fn spawns(self) -> bool {
        matches!(
            self,
            Self::CloseOnExec
                | Self::Fork
                | Self::PidfdGetfd
                | Self::Executable
                | Self::Interpreter
                | Self::Script
                | Self::Container
        )
    }

    /// What one holder of this kind keeps alive.
    pub fn counts(self) -> Counts {
        let (files, paths) = match self {
            Self::Path | Self::AccessModeThree => (0, 1),
            Self::Reopened => (2, 0),
            Self::TmpFile => (0, 0),
            _ => (1, 0),
        };
        Counts { files, paths }
    }
}
