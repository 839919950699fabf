//! What the guest has to have before it begins.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use rousr_figures::torture::{Options, Ring};

use super::{EMPTY_FOLDER, FOLDER, agent, kind::Kind};
use crate::{swap, sys::swapon};

/// Where dying processes' memory is swapped to.
const SWAP_AREA: &str = "/var/lib/rousr-torture.swap";
const SWAP_PAGES: u32 = 4096;

/// A ring that holds some dozen events.
const SMALL_RING: u32 = 4096;

pub(super) fn prepare(options: &Options) -> Result<()> {
    for folder in [FOLDER, EMPTY_FOLDER] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))?;
    }
    let loops = options.workers * Kind::LoopDevice.limit();
    command("modprobe", &["loop", &format!("max_loop={loops}")])?;
    command("modprobe", &["overlay"])?;
    // It would look into each loop device, and the workers are after something else.
    command(
        "systemctl",
        &[
            "stop",
            "systemd-udevd-kernel.socket",
            "systemd-udevd-control.socket",
            "systemd-udevd",
        ],
    )?;
    // The kernel has a line for each window and each swap area.
    let folder = "/run/systemd/journald.conf.d";
    fs::create_dir_all(folder).context(folder)?;
    fs::write(format!("{folder}/torture.conf"), "[Journal]\nReadKMsg=no\n").context(folder)?;
    command("systemctl", &["restart", "systemd-journald"])?;
    hurry()?;
    swap_on().context("cannot make a swap area")?;
    let ring = (options.ring == Ring::Small).then_some(SMALL_RING);
    agent::start(ring)
}

/// Loop devices, overlays and swap areas wait for grace periods of RCU, swap areas one after another.
fn hurry() -> Result<()> {
    const KNOBS: [(&str, &str); 3] = [
        ("/sys/kernel/rcu_expedited", "1"),
        ("/sys/module/rcutree/parameters/jiffies_till_first_fqs", "0"),
        ("/sys/module/rcutree/parameters/jiffies_till_next_fqs", "1"),
    ];
    for (knob, value) in KNOBS {
        fs::write(knob, value).with_context(|| format!("cannot write {knob}"))?;
    }
    Ok(())
}

fn swap_on() -> Result<()> {
    let mut file = File::create(SWAP_AREA)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&swap::area(SWAP_PAGES))?;
    file.sync_all()?;
    Ok(swapon(SWAP_AREA.as_ref())?)
}

fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
