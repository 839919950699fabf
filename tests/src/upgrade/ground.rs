//! Who uses what is replaced: a logged-in session by sshd, a container, and daemons in Python and Perl.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rousr_figures::upgrade::Change;

use crate::{begin, shell, task::must, wait};

/// The newer packages, as a repository.
pub(super) const NEWER: &str = "/run/share/newer";

/// What plays somebody at another machine.
pub(super) const CLIENT: &str = "lab-client.service";

/// Left alone by `rousr restart`: the one who is logged in, and this program.
const NEVER: &str = "lab-client.service\nrousr-lab.service\n";

/// What a guest leaves out for its boot's sake and a server has.
const MASKED: [&str; 2] = ["systemd-logind.service", "systemd-user-sessions.service"];

const PYTHON: &str = "import asyncio, bz2, ctypes, curses, decimal, hashlib, lzma, readline, sqlite3, ssl, \
                      time, uuid, xml.parsers.expat, zlib; time.sleep(1000000)";

const PERL: &str = "use POSIX; use Socket; use Encode; use Storable; use Data::Dumper; use Time::HiRes; \
                    use Digest::SHA; use Compress::Raw::Zlib; sleep 1000000";

/// Starts all, and returns what is to change.
pub(super) fn prepare() -> Result<Vec<Change>> {
    begin();
    fs::create_dir_all("/etc/rousr")?;
    fs::write("/etc/rousr/never-restart", NEVER)?;
    log_in()?;
    contain()?;
    serve("lab-python", &format!("python3 -c '{PYTHON}'"), "libssl.so")?;
    serve("lab-perl", &format!("perl -e '{PERL}'"), "SHA.so")?;
    let source = format!("deb [trusted=yes] file:{NEWER} ./\n");
    fs::write("/etc/apt/sources.list", source)?;
    must("apt-get -qq update")?;
    let list = fs::read(format!("{NEWER}/changes.json")).context("what changes")?;
    Ok(serde_json::from_slice(&list)?)
}

/// A shell at a terminal, in a session of logind's.
fn log_in() -> Result<()> {
    for unit in MASKED {
        fs::remove_file(format!("/etc/systemd/system/{unit}")).with_context(|| unit)?;
    }
    must(
        "systemctl daemon-reload && systemctl start dbus systemd-logind systemd-user-sessions ssh",
    )?;
    must(
        "mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 && \
         cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys",
    )?;
    must(&format!(
        "systemd-run -q --unit {CLIENT} sh -c 'sleep infinity | ssh -tt -o StrictHostKeyChecking=accept-new root@localhost'"
    ))?;
    wait_for("a session with a shell", || {
        shell("loginctl list-sessions --no-legend | grep -w user && pgrep -f '^-bash'").status == 0
    });
    Ok(())
}

/// A container that has the guest's /usr.
fn contain() -> Result<()> {
    must(
        "mkdir -p /run/tree/etc /run/tree/usr; touch /run/tree/etc/os-release; \
         for link in bin sbin lib lib64; do ln -s usr/$link /run/tree/$link; done",
    )?;
    serve(
        "lab-container",
        "systemd-nspawn -q -D /run/tree -M lab --register=no --bind-ro=/usr \
         python3 -c 'import ssl, time; time.sleep(1000000)'",
        "libssl.so",
    )
}

/// A service, once one of its processes has a library.
fn serve(unit: &str, command: &str, library: &str) -> Result<()> {
    must(&format!("systemd-run -q --unit {unit} {command}"))?;
    wait_for(unit, || {
        shell(&format!(
            "for pid in $(systemctl show -P MainPID {unit}) $(pgrep -P $(systemctl show -P MainPID {unit})); do \
             grep -q {library} /proc/$pid/maps && exit 0; done; exit 1"
        ))
        .status
            == 0
    });
    ensure!(
        shell(&format!("systemctl is-active {unit}")).status == 0,
        "{unit} has ended"
    );
    Ok(())
}

fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    wait(Duration::from_secs(120), what, is_so);
}
