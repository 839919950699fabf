//! Looks at /usr, the holds and dpkg's files.

use std::{collections::BTreeSet, fs};

use crate::{HOLDS, holds, is_sealed, ledger, shell, usr_flags};

/// Whether /usr is read-only, and rousr names what keeps its filesystem from it: a file or a directory
/// without a name that is in use.
pub(crate) fn is_blocked() -> bool {
    usr_flags().0 == "ro" && shell("rousr blockers").status == 1
}

/// What the hold directory and the ledger have that they should not have, where these holds are allowed.
pub(crate) fn leaks(may_hold: bool) -> Vec<String> {
    let mut leaks = Vec::new();
    let held = holds();
    if !may_hold && !held.is_empty() {
        leaks.push(format!("holds without a holder: {held:?}"));
    }
    match ledger::known() {
        Ok(known) if known == held => {}
        Ok(known) => {
            let only = |one: &BTreeSet<u64>, other: &BTreeSet<u64>| -> Vec<u64> {
                one.difference(other).copied().collect()
            };
            leaks.push(format!(
                "held and not in the ledger: {:?}; in the ledger and not held: {:?}",
                only(&held, &known),
                only(&known, &held)
            ));
        }
        Err(error) => leaks.push(format!("{error:#}")),
    }
    for name in fs::read_dir(HOLDS)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let name = name.file_name().to_string_lossy().into_owned();
        if name.parse::<u64>().is_err() {
            leaks.push(format!("stray {name}"));
        }
    }
    leaks
}

/// What `dpkg --verify` says of the guests' image: these were taken out (tests/guest/customize).
const TAKEN_OUT: [&str; 4] = [
    "/etc/apt/apt.conf.d/05etckeeper",
    "/etc/apt/apt.conf.d/20packagekit",
    "/etc/apt/apt.conf.d/99needrestart",
    "/etc/dpkg/dpkg.cfg.d/needrestart",
];

/// Files of these packages, all where none is named, that are not as dpkg installed them.
pub(crate) fn lost(packages: &str) -> Vec<String> {
    let commands = [
        format!("dpkg --verify {packages}"),
        format!("debsums -s {packages}"),
        "dpkg --audit".to_owned(),
    ];
    let mut lost = Vec::new();
    for command in commands {
        let finished = shell(&command);
        let is_told =
            |line: &&str| !line.is_empty() && !TAKEN_OUT.iter().any(|path| line.ends_with(path));
        let told = finished.output.lines().filter(is_told);
        lost.extend(told.map(|line| format!("{command}: {line}")));
        if finished.status != 0 && finished.output.trim().is_empty() {
            lost.push(format!("{command}: exit {}", finished.status));
        }
    }
    lost
}

/// Whatever is wrong once all is over.
pub(crate) fn everything() -> Vec<String> {
    let mut faults = lost("");
    faults.extend(leaks(false));
    if !is_sealed() {
        faults.push(format!("/usr is {:?}", usr_flags()));
    }
    faults
}
