//! The blockers that are planted, and how each has to be told.

use crate::hold;

/// Where files and directories are, until all of it is removed.
pub(super) const GONE: &str = "/usr/share/rousr-gone";
/// Where files are that stay.
pub(super) const WRITTEN: &str = "/usr/share/rousr-written";

/// One blocker.
pub(super) struct Plant {
    /// Its name, as its unit has it behind `rousr-`.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) what: &'static str,
    /// A line of shell that plants it. `$hold KIND PATH NAME` is the program that holds, `$run` starts
    /// a service; `$gone` and `$written` are the folders.
    pub(super) start: &'static str,
    /// Where it has to show.
    pub(super) shows: Shows,
}

/// Where a blocker has to show.
#[derive(Clone, Copy)]
pub(super) enum Shows {
    /// Among the blockers, as this kind and path.
    Blocker(&'static str, &'static str, Who),
    /// Among the mounts elsewhere.
    Elsewhere,
    /// In the difference, with its socket.
    InFlight,
    /// In the difference.
    Counted,
}

/// Who blocks, which says what ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Its own service, which is restarted.
    Service,
    /// Such a service of a user's manager.
    UserService(u32),
    /// A session, which ends.
    Session,
    /// A shell of a session, which can go elsewhere.
    Shell,
    /// A container of this name, which is restarted.
    Container(&'static str),
    /// PID 1, which executes itself anew.
    Manager,
    /// A service of this name that is not restarted without the system.
    Essential(&'static str),
    /// The kernel: what uses the inode, and the action that ends it.
    Kernel(&'static str, &'static str),
}

const FILE: &str = "orphan-file";
const DIRECTORY: &str = "orphan-directory";
const WRITER: &str = "writer";

macro_rules! gone {
    ($name:literal) => {
        concat!("/usr/share/rousr-gone/", $name, " (deleted)")
    };
}

macro_rules! written {
    ($name:literal) => {
        concat!("/usr/share/rousr-written/", $name)
    };
}

/// All of them.
pub(super) const PLANTS: [Plant; 22] = [
    Plant {
        name: "open",
        what: "removed file, open",
        start: "touch $gone/open; $run-open $hold descriptor $gone/open open",
        shows: Shows::Blocker(FILE, gone!("open"), Who::Service),
    },
    Plant {
        name: "mapped",
        what: "removed file, mapped only",
        start: "echo . >$gone/mapped; $run-mapped $hold mapping-private $gone/mapped mapped",
        shows: Shows::Blocker(FILE, gone!("mapped"), Who::Service),
    },
    Plant {
        name: "o-path",
        what: "removed file, O_PATH",
        start: "touch $gone/o-path; $run-o-path $hold o-path $gone/o-path o-path",
        shows: Shows::Blocker(FILE, gone!("o-path"), Who::Service),
    },
    Plant {
        name: "program",
        what: "removed program, running",
        start: "cp ${hold% *} $gone/program; $run-program $gone/program hold nothing / program",
        shows: Shows::Blocker(FILE, gone!("program"), Who::Service),
    },
    Plant {
        name: "open-directory",
        what: "removed directory, open",
        start: "mkdir $gone/open-directory; $run-open-directory $hold descriptor $gone/open-directory open-directory",
        shows: Shows::Blocker(DIRECTORY, gone!("open-directory"), Who::Service),
    },
    Plant {
        name: "cwd",
        what: "removed directory, a working directory",
        start: "mkdir $gone/cwd; $run-cwd $hold working-directory $gone/cwd cwd",
        shows: Shows::Blocker(DIRECTORY, gone!("cwd"), Who::Service),
    },
    Plant {
        name: "root",
        what: "removed directory, a root directory",
        start: "mkdir $gone/root; $run-root $hold root $gone/root root",
        shows: Shows::Blocker(DIRECTORY, gone!("root"), Who::Service),
    },
    Plant {
        name: "around",
        what: "removed directory around an open file",
        start: "mkdir $gone/around; touch $gone/around/file; $run-around $hold descriptor $gone/around/file around",
        shows: Shows::Blocker(DIRECTORY, gone!("around"), Who::Service),
    },
    Plant {
        name: "writer",
        what: "file open for writing",
        start: "touch $written/writer; $run-writer $hold writer $written/writer writer",
        shows: Shows::Blocker(WRITER, written!("writer"), Who::Service),
    },
    Plant {
        name: "written-mapping",
        what: "file mapped shared for writing only",
        start: "echo . >$written/mapped; $run-written-mapping $hold written-mapping $written/mapped written-mapping",
        shows: Shows::Blocker(WRITER, written!("mapped"), Who::Service),
    },
    Plant {
        name: "container",
        what: "removed file, open in a container (systemd-nspawn)",
        start: "touch $gone/container; mkdir -p /run/tree/etc /run/tree/usr; touch /run/tree/etc/os-release; \
                for link in bin sbin lib lib64; do ln -s usr/$link /run/tree/$link; done; \
                $run-container systemd-nspawn -q -D /run/tree -M plant --register=no --bind-ro=/usr \
                --bind=/run/share --bind=/run/rousr-plants $hold descriptor $gone/container container; \
                until [ -s /run/rousr-plants/container ]; do sleep 0.1; done; \
                pgrep -nf 'hold descriptor [^ ]*/container' >/run/rousr-plants/container",
        shows: Shows::Blocker(FILE, gone!("container"), Who::Container("plant")),
    },
    Plant {
        name: "session",
        what: "removed file, open in a login session",
        start: "touch $gone/session; $run-session -p PAMName=login $hold descriptor $gone/session session",
        shows: Shows::Blocker(FILE, gone!("session"), Who::Session),
    },
    Plant {
        name: "shell",
        what: "removed directory, a shell of a session is in it",
        start: "mkdir $gone/shell; $run-shell -p PAMName=login $hold working-directory $gone/shell shell",
        shows: Shows::Blocker(DIRECTORY, gone!("shell"), Who::Shell),
    },
    Plant {
        name: "user",
        what: "removed file, open in a user's service",
        start: "touch $gone/user; systemctl start user@0.service; XDG_RUNTIME_DIR=/run/user/0 \
                systemd-run -q --user --unit rousr-user $hold descriptor $gone/user user",
        shows: Shows::Blocker(FILE, gone!("user"), Who::UserService(0)),
    },
    Plant {
        name: "pid-1",
        what: "replaced library of PID 1",
        start: "replace /usr/lib/x86_64-linux-gnu/libcrypto.so.3; echo 1 >/run/rousr-plants/pid-1",
        shows: Shows::Blocker(
            FILE,
            "/usr/lib/x86_64-linux-gnu/libcrypto.so.3 (deleted)",
            Who::Manager,
        ),
    },
    Plant {
        name: "bus",
        what: "replaced program of the message bus",
        start: "replace /usr/bin/dbus-daemon; systemctl show -P MainPID dbus >/run/rousr-plants/bus",
        shows: Shows::Blocker(
            FILE,
            "/usr/bin/dbus-daemon (deleted)",
            Who::Essential("dbus.service"),
        ),
    },
    Plant {
        name: "loop",
        what: "removed file behind a loop device",
        start: "truncate -s 1M $gone/loop; modprobe -q loop; losetup -r /dev/loop0 $gone/loop",
        shows: Shows::Blocker(FILE, gone!("loop"), Who::Kernel("loop-device", "detach")),
    },
    Plant {
        name: "mount",
        what: "removed file, mounted elsewhere",
        start: "touch $gone/mount /run/plant-mount; mount --bind $gone/mount /run/plant-mount; \
                mount -o remount,bind,ro /run/plant-mount",
        shows: Shows::Blocker(FILE, gone!("mount"), Who::Kernel("mount", "unmount")),
    },
    Plant {
        name: "swap",
        what: "swap file",
        start: "dd if=/dev/zero of=$written/swap bs=1M count=1 status=none; chmod 600 $written/swap; \
                mkswap -q $written/swap; swapon $written/swap",
        shows: Shows::Blocker(WRITER, written!("swap"), Who::Kernel("swap", "swap-off")),
    },
    Plant {
        name: "elsewhere",
        what: "writable mount of a part in a unit's namespace",
        start: "mkdir /run/plant-part; $run-elsewhere -p BindPaths=$written:/run/plant-part \
                $hold nothing / elsewhere",
        shows: Shows::Elsewhere,
    },
    Plant {
        name: "in-flight",
        what: "removed file, in flight in a socket",
        start: "touch $gone/in-flight; $run-in-flight $hold in-flight $gone/in-flight in-flight",
        shows: Shows::InFlight,
    },
    Plant {
        name: "io-uring",
        what: "removed file, fixed in an io_uring",
        start: "touch $gone/io-uring; $run-io-uring $hold io-uring-fixed $gone/io-uring io-uring",
        shows: Shows::Counted,
    },
];

impl Plant {
    /// Its holder, where it is a process.
    pub(super) fn pid(&self) -> Option<u32> {
        hold::pid(self.name)
    }

    /// Whether a process holds it, which says so.
    pub(super) fn has_holder(&self) -> bool {
        !matches!(self.shows, Shows::Blocker(_, _, Who::Kernel(..)))
    }

    /// Its unit.
    pub(super) fn unit(&self) -> String {
        match self.shows {
            Shows::Blocker(_, _, Who::Manager) => "init.scope".to_owned(),
            Shows::Blocker(_, _, Who::Essential(unit)) => unit.to_owned(),
            _ => format!("rousr-{}.service", self.name),
        }
    }
}
