//! Planting.

use std::{env, fs, time::Duration};

use anyhow::{Context as _, ensure};

use super::plant::{GONE, PLANTS, WRITTEN};
use crate::{hold::PIDS, shell, succeed, wait, wait_for_agent};

/// What the plants' lines use. A file that is replaced is kept by nothing but those who use it: its hold
/// goes, too.
const PRELUDE: &str = r#"
set -e
run="systemd-run -q --collect --unit rousr"
replace() {
    target=$(readlink -f "$1")
    inode=$(stat -c %i "$target")
    cp -a "$target" "$target.new"
    mv "$target.new" "$target"
    rm -f "/usr/.rousr/$inode"
}
"#;

/// Plants all on a writable /usr, removes what is to be gone, and has rousr seal as far as it goes.
pub(super) fn plant() -> anyhow::Result<()> {
    wait_for_agent();
    succeed(
        "systemctl unmask --runtime systemd-logind.service 2>/dev/null; rm -f /etc/systemd/system/systemd-logind.service; systemctl daemon-reload; systemctl start systemd-logind",
    );
    succeed(&format!(
        "mkdir -p {PIDS}; rousr unseal && mkdir {GONE} {WRITTEN}"
    ));
    let program = env::current_exe().context("where am I?")?;
    let program = program.display();
    for plant in &PLANTS {
        let line = format!(
            "{PRELUDE}hold='{program} hold' gone={GONE} written={WRITTEN}\n{}",
            plant.start
        );
        let planted = shell(&line);
        let name = plant.name;
        ensure!(planted.status == 0, "{name}: {}", planted.output);
        if plant.has_holder() {
            wait_for(plant.name, || plant.pid().is_some());
        }
    }
    fs::remove_dir_all(GONE).context("cannot remove what is to be gone")?;
    let sealed = shell("rousr seal");
    ensure!(sealed.status == 1, "/usr can be sealed:\n{}", sealed.output);
    Ok(())
}

fn wait_for(name: &str, ready: impl FnMut() -> bool) {
    wait(Duration::from_secs(120), name, ready);
}
