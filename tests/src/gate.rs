//! A place where a script waits until the test lets it go on.

use std::{fs, time::Duration};

use crate::{succeed, wait};

/// The line of shell that waits.
pub const GATE: &str = "touch /run/rousr-there; while [ ! -e /run/rousr-on ]; do sleep 0.1; done";

/// Whoever comes waits from now on.
pub fn close() {
    succeed("rm -f /run/rousr-there /run/rousr-on");
}

/// Waits until somebody waits there.
///
/// # Panics
///
/// Panics where nobody has come within a minute.
#[track_caller]
pub fn wait_at() {
    wait(Duration::from_secs(60), "the script is reached", || {
        fs::exists("/run/rousr-there").expect("readable")
    });
}

/// Lets them go on.
pub fn open() {
    succeed("touch /run/rousr-on");
}
