//! The upgrade itself, and the state that it leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rousr_figures::upgrade::{Change, Frontend, Report};
use serde_json::Value;

use super::{ground::NEWER, tell};
use crate::{HOLDS, holds, look, orphans, shell, task::must, usr_flags};

/// Upgrades, and looks at /usr as soon as the frontend has ended.
pub(super) fn play(frontend: Frontend, changes: &[Change], report: &mut Report) -> Result<()> {
    let transactions = history()?.len();
    let began = Instant::now();
    report.status = follow(&command(frontend))?;
    report.seconds = began.elapsed().as_secs();
    look_at_usr(report)?;

    let output = String::from_utf8_lossy(&fs::read(LOG)?).into_owned();
    let log = "journalctl -b --no-pager >/run/out/journal.log; rousr status >/run/out/status.log 2>&1; rousr history >/run/out/history.log";
    must(log)?;
    for transaction in &history()?[transactions..] {
        report.transactions += 1;
        report.made += transaction["holds"].as_u64().context("holds")?;
    }
    judge(changes, &output, report)
}

/// What the frontend says.
const LOG: &str = "/run/out/frontend.log";

/// Runs a line of shell, and tells now and then how far it is; its exit status, 255 for death by a signal.
fn follow(line: &str) -> Result<i32> {
    const TELLS: Duration = Duration::from_secs(30);
    let log = File::create(LOG).context(LOG)?;
    let mut child = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let mut told = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(255));
        }
        if told.elapsed() >= TELLS {
            told = Instant::now();
            let said = fs::read(LOG)?;
            let said = String::from_utf8_lossy(&said);
            tell(said.trim_end().lines().next_back().unwrap_or_default())?;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn command(frontend: Frontend) -> String {
    match frontend {
        Frontend::Apt => "apt -y full-upgrade".to_owned(),
        Frontend::Aptitude => "aptitude -y full-upgrade".to_owned(),
        Frontend::UnattendedUpgrades => "unattended-upgrade -v".to_owned(),
        // What pre-depends on a package that is only unpacked so far is refused: dpkg orders nothing by itself.
        // Whoever upgrades by it alone does the rest in a second run.
        Frontend::Dpkg => format!(
            "dpkg='dpkg -i --skip-same-version --force-confold'; ($dpkg {NEWER}/*.deb || $dpkg {NEWER}/*.deb) && dpkg --configure -a"
        ),
    }
}

/// What rousr knows of transactions, oldest first.
fn history() -> Result<Vec<Value>> {
    let told: Value = serde_json::from_str(&must("rousr history --json")?)?;
    let transactions = told["transactions"].as_array();
    Ok(transactions.context("transactions")?.clone())
}

fn look_at_usr(report: &mut Report) -> Result<()> {
    let (mount, filesystem) = usr_flags();
    report.level = match (&*mount, &*filesystem) {
        ("ro", "ro") => "sealed",
        ("ro", _) => "mount-sealed",
        _ => "open",
    }
    .to_owned();
    let found: BTreeSet<_> = orphans().into_iter().collect();
    report.orphans = found
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    report.holds = holds().len() as u64;
    for inode in holds() {
        // One may have gone meanwhile.
        if let Ok(held) = fs::metadata(format!("{HOLDS}/{inode}")) {
            report.bytes += held.blocks() * 512;
        }
    }
    report.units = holders()?.into_iter().collect();
    Ok(())
}

/// The units that use what is held; processes of none by their name.
pub(super) fn holders() -> Result<BTreeSet<String>> {
    let status: Value = serde_json::from_str(&must("rousr status --json")?)?;
    let holds = status["holds"].as_array().context("holds")?;
    let holders = holds.iter().filter_map(|hold| hold["holders"].as_array());
    let name = |holder: &Value| {
        let names = [&holder["unit"], &holder["comm"]];
        Some(names.into_iter().find_map(Value::as_str)?.to_owned())
    };
    Ok(holders.flatten().filter_map(name).collect())
}

fn judge(changes: &[Change], output: &str, report: &mut Report) -> Result<()> {
    let shown = must("dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'")?;
    let installed: BTreeMap<&str, &str> = shown
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let mut faults = Vec::new();
    for Change { name, new, .. } in changes {
        let state = installed.get(name.as_str()).copied().unwrap_or_default();
        match state.trim_end() == format!("{new} ii") {
            true => report.upgraded += 1,
            false => faults.push(format!("{name} is {state:?}, not {new}")),
        }
    }
    if report.status != 0 {
        let end: Vec<&str> = output.lines().rev().take(20).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        faults.push(format!("exit {}:\n{}", report.status, end.join("\n")));
    }
    if report.level != "sealed" {
        let why = shell("rousr blockers").output;
        faults.push(format!("{} after it:\n{why}", report.level));
    }
    if !report.orphans.is_empty() {
        faults.push(format!("orphans: {}", report.orphans.join(", ")));
    }
    if report.holds == 0 {
        faults.push("nothing was held, and nearly all was in use".to_owned());
    }
    let counts = shell("rousr verify");
    if counts.status != 0 {
        faults.push(format!("rousr verify:\n{}", counts.output));
    }
    faults.extend(look::leaks(true));
    report.faults.extend(faults);
    Ok(())
}
