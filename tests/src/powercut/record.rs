//! What is written before the cut: an upgrade while its files are in use, and the holders' ends.

use std::{fs, thread, time::Duration};

use anyhow::{Result, ensure};
use rousr_figures::powercut::{Line, Mark};

use super::{release_all, upgrade};
use crate::{
    holds,
    task::{must, say},
};

/// The journal of a filesystem is written every 5 s by default (`JBD2_DEFAULT_MAX_COMMIT_AGE`), and files
/// that are not waited for within 30 s (vm.dirty_expire_centisecs), by a thread that looks every 5 s.
const WRITTEN: Duration = Duration::from_secs(12);

/// Holders that are not the demo's.
const UNITS: [(&str, &str); 1] = [(
    "powercut-python",
    "python3 -c \"import ssl, time; time.sleep(1000000)\"",
)];

/// Without rousr: what every guide to a read-only /usr recommends.
const PLAIN: &str = "DPkg::Pre-Invoke { \"mount -o remount,rw /usr\"; };\n\
    DPkg::Post-Invoke { \"mount -o remount,ro /usr || true\"; };\n";

pub(super) fn run(with_rousr: bool) -> Result<()> {
    if !with_rousr {
        fs::write("/etc/apt/apt.conf.d/99remount", PLAIN)?;
    }
    // What is not waited for is written soon, so that less of the recording is a wait.
    must("sysctl -q vm.dirty_expire_centisecs=500")?;
    must("apt-get -y -q install /run/share/rousr-demo_1.0_*.deb")?;
    must("systemctl start rousr-demo rousr-demo-script")?;
    for (unit, command) in UNITS {
        must(&format!("systemd-run -q --unit={unit} {command}"))?;
    }
    thread::sleep(Duration::from_secs(3));
    must("sync")?;
    say(&Line::Mark(Mark::Began))?;
    must(&upgrade(""))?;
    if with_rousr {
        ensure!(!holds().is_empty(), "nothing is held after the upgrade");
    }
    thread::sleep(WRITTEN);
    say(&Line::Mark(Mark::Upgraded))?;
    for unit in ["rousr-demo", "rousr-demo-script", UNITS[0].0] {
        must(&format!("systemctl stop {unit}"))?;
        thread::sleep(Duration::from_millis(500));
    }
    match with_rousr {
        true => release_all()?,
        false => drop(must("systemctl daemon-reexec")?),
    }
    thread::sleep(WRITTEN);
    say(&Line::Mark(Mark::Reaped))
}
