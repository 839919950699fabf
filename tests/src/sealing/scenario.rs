//! The scenarios: who is in the way, what apt does, and how they go.

use rousr_figures::sealing::Level;

use super::package::{DROPS, FAILS, KILLS, NEW, WRITES};

/// One upgrade or removal with somebody in the way.
pub(super) struct Scenario {
    /// Its name.
    pub(super) name: &'static str,
    /// What happens.
    pub(super) title: &'static str,
    /// How far the kernel lets anybody seal at once.
    pub(super) allows: Level,
    /// Why not further.
    pub(super) why: &'static str,
    /// A line of shell that starts who is in the way: `$run-NAME` starts a service, `$hold WAY PATH NAME` is the
    /// program that holds, `$files` the package's folder.
    pub(super) before: &'static str,
    /// Names of the holders that it waits for.
    pub(super) holders: &'static [&'static str],
    /// What apt does.
    pub(super) act: Act,
    /// A line of shell that ends them.
    pub(super) release: &'static str,
}

/// What apt does.
pub(super) enum Act {
    /// Installs this version of the package.
    Upgrade(&'static str),
    /// The same, and a script of the package kills apt.
    Killed(&'static str),
    /// Removes the package.
    Remove,
    /// Upgrades OpenSSL.
    UpgradeOpenssl,
}

/// Two services, which nearly each scenario has.
const SERVICES: &str =
    "$run-reads $hold descriptor $files/data reads; $run-runs $files/tool hold nothing / runs";
const STOP: &str = "systemctl stop rousr-reads rousr-runs";

const SEALED: Scenario = Scenario {
    name: "",
    title: "",
    allows: Level::Sealed,
    why: "",
    before: SERVICES,
    holders: &["reads", "runs"],
    act: Act::Upgrade(NEW),
    release: STOP,
};

/// All but the power cut, which takes two boots. That of OpenSSL can be done once, and is the last.
pub(super) const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "services",
        title: "services hold replaced files",
        ..SEALED
    },
    Scenario {
        name: "directory",
        title: "a shell is in a directory that the upgrade drops",
        allows: Level::MountSealed,
        why: "a removed directory in use keeps the superblock, and no link can be made to it",
        before: "$run-shell -p PAMName=login $hold working-directory $files/dropped shell",
        holders: &["shell"],
        act: Act::Upgrade(DROPS),
        release: "systemctl stop rousr-shell",
    },
    Scenario {
        name: "dropped",
        title: "a file in a directory that the upgrade drops",
        before: "$run-reads $hold descriptor $files/dropped/note reads",
        holders: &["reads"],
        act: Act::Upgrade(DROPS),
        release: "systemctl stop rousr-reads",
        ..SEALED
    },
    Scenario {
        name: "in-flight",
        title: "a descriptor is in flight in a socket",
        before: "$run-sends $hold in-flight $files/data sends",
        holders: &["sends"],
        release: "systemctl stop rousr-sends",
        ..SEALED
    },
    Scenario {
        name: "o-path",
        title: "an O_PATH descriptor",
        before: "$run-refers $hold o-path $files/data refers",
        holders: &["refers"],
        release: "systemctl stop rousr-refers",
        ..SEALED
    },
    Scenario {
        name: "writer",
        title: "a file is open for writing",
        allows: Level::Open,
        why: "a writer keeps its mount writable",
        before: "true",
        holders: &[],
        act: Act::Upgrade(WRITES),
        release: "systemctl stop rousr-writes",
    },
    Scenario {
        name: "container",
        title: "a container (systemd-nspawn) holds a replaced file",
        before: "mkdir -p /run/tree/etc /run/tree/usr; touch /run/tree/etc/os-release; \
                 for link in bin sbin lib lib64; do ln -sfn usr/$link /run/tree/$link; done; \
                 $run-container systemd-nspawn -q -D /run/tree -M contained --register=no --bind-ro=/usr \
                 --bind=/run/share --bind=/run/rousr-plants $hold descriptor $files/data contained",
        holders: &["contained"],
        release: "systemctl stop rousr-container",
        ..SEALED
    },
    Scenario {
        name: "session",
        title: "a login session holds a replaced file",
        before: "$run-session -p PAMName=login $hold descriptor $files/data session",
        holders: &["session"],
        release: "systemctl stop rousr-session",
        ..SEALED
    },
    Scenario {
        name: "killed",
        title: "apt is killed before Post-Invoke; services hold",
        act: Act::Killed(KILLS),
        ..SEALED
    },
    Scenario {
        name: "error",
        title: "dpkg fails; services hold",
        act: Act::Upgrade(FAILS),
        ..SEALED
    },
    Scenario {
        name: "removal",
        title: "a package is removed; services hold",
        act: Act::Remove,
        ..SEALED
    },
    Scenario {
        name: "pid-1",
        title: "PID 1 and others hold the old libcrypto",
        before: "true",
        holders: &[],
        act: Act::UpgradeOpenssl,
        release: "for maps in $(grep -l '/libcrypto.so.3 (deleted)\\|/usr/.rousr/' /proc/[0-9]*/maps); do \
                  pid=${maps#/proc/}; pid=${pid%/maps}; unit=$(ps -o unit= -p $pid || true); case $unit in \
                  init.scope) systemctl daemon-reexec ;; *.service) systemctl restart $unit ;; esac; done",
        ..SEALED
    },
];
