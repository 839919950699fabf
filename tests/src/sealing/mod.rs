//! The same upgrades with the plain remount and with rousr, and what came of each.

mod package;
mod scenario;
mod side;

use std::{
    env, fs,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rousr_figures::sealing::{Level, Look, Outcome, Report};

use scenario::{Act, SCENARIOS, Scenario};
pub use side::Side;

use crate::{
    Background,
    hold::{self, PIDS},
    holds, is_sealed, orphans,
    package::FOLDER,
    shell, succeed, usr_flags, wait,
};

/// Plays the scenarios of these names, or all.
///
/// # Errors
///
/// Fails where one cannot be set up.
pub fn run(side: Side, only: &[&str]) -> anyhow::Result<Report> {
    let ground = Ground::prepare(side)?;
    let mut report = Report::default();
    for scenario in &SCENARIOS {
        if only.is_empty() || only.contains(&scenario.name) {
            report.outcomes.push(ground.play(scenario)?);
        }
    }
    Ok(report)
}

/// Upgrades, and returns in the middle: the caller ends the guest.
///
/// # Errors
///
/// Fails where it does not get there.
pub fn cut(side: Side) -> anyhow::Result<()> {
    let ground = Ground::prepare(side)?;
    ground.begin(&SCENARIOS[0])?;
    let upgrade = Background::start(&format!("{} >/run/out/cut.log 2>&1", install(package::CUT)));
    wait(Duration::from_secs(120), "the package is unpacked", || {
        fs::exists("/run/rousr-unpacked").unwrap_or(false)
    });
    // It goes on until the power goes.
    std::mem::forget(upgrade);
    Ok(())
}

/// What it is after [`cut`] and a boot.
///
/// # Errors
///
/// Fails where rousr does not start.
pub fn rebooted(side: Side) -> anyhow::Result<Report> {
    side.set_up()?;
    let after = look();
    patiently(side);
    Ok(Report {
        outcomes: vec![Outcome {
            name: "power-cut".to_owned(),
            title: "the power goes in the middle; as found after the next boot".to_owned(),
            allows: Level::Sealed,
            why: String::new(),
            apt: None,
            after,
            later: look(),
        }],
    })
}

struct Ground {
    side: Side,
    prelude: String,
}

impl Ground {
    fn prepare(side: Side) -> anyhow::Result<Self> {
        side.set_up()?;
        fs::create_dir_all(PIDS).context("/run is writable")?;
        succeed(
            "rm -f /etc/systemd/system/systemd-logind.service; systemctl daemon-reload; \
             systemctl start systemd-logind",
        );
        let program = env::current_exe().context("where am I?")?;
        let hold = format!("{} hold", program.display());
        package::build_all(&hold)?;
        Ok(Self {
            side,
            prelude: format!(
                "set -e; run='systemd-run -q --collect --unit rousr' hold='{hold}' files={FOLDER}\n"
            ),
        })
    }

    /// Everybody is in the way.
    fn begin(&self, scenario: &Scenario) -> anyhow::Result<()> {
        for name in fs::read_dir(PIDS)?.filter_map(Result::ok) {
            fs::remove_file(name.path())?;
        }
        let installed = shell(&install(package::OLD));
        ensure!(installed.status == 0, "{}", installed.output);
        ensure!(is_sealed(), "/usr is not sealed before {}", scenario.name);
        let started = shell(&format!("{}{}", self.prelude, scenario.before));
        ensure!(started.status == 0, "{}: {}", scenario.name, started.output);
        for name in scenario.holders {
            wait(Duration::from_secs(60), name, || hold::pid(name).is_some());
        }
        Ok(())
    }

    fn play(&self, scenario: &Scenario) -> anyhow::Result<Outcome> {
        self.begin(scenario)?;
        let finished = shell(&match scenario.act {
            Act::Upgrade(version) | Act::Killed(version) => install(version),
            Act::Remove => "apt-get -y -q remove rousr-kinds".to_owned(),
            Act::UpgradeOpenssl => {
                "apt-get -y -q install libssl3t64 openssl openssl-provider-legacy".to_owned()
            }
        });
        log(scenario.name, &finished.output)?;
        let is_killed = matches!(scenario.act, Act::Killed(_));
        if is_killed {
            // dpkg goes on alone; then whoever looks after it has a moment.
            wait(Duration::from_secs(30), "dpkg ends", || {
                shell("pgrep -x dpkg").status != 0
            });
            thread::sleep(Duration::from_secs(3));
        }
        let after = look();
        let released = shell(&format!("{}{}", self.prelude, scenario.release));
        log(scenario.release, &released.output)?;
        patiently(self.side);
        let outcome = Outcome {
            name: scenario.name.to_owned(),
            title: scenario.title.to_owned(),
            allows: scenario.allows,
            why: scenario.why.to_owned(),
            apt: (!is_killed).then_some(finished.status),
            after,
            later: look(),
        };
        self.side
            .reset("dpkg --configure -a; apt-get -y -q purge rousr-kinds");
        Ok(outcome)
    }
}

/// What a script or apt said, for who looks into a guest with `--out`.
fn log(what: &str, said: &str) -> anyhow::Result<()> {
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open("/run/out/sealing.log")
        .context("cannot open the log")?;
    Ok(writeln!(log, "--- {what}\n{said}")?)
}

fn install(version: &str) -> String {
    format!("apt-get -y -q -o Dpkg::Use-Pty=0 install /run/rousr-kinds_{version}_all.deb")
}

/// Until it is as it should be, but not for ever.
fn patiently(side: Side) {
    let end = Instant::now() + side.patience();
    while Instant::now() < end && !(is_sealed() && holds().is_empty()) {
        thread::sleep(Duration::from_millis(50));
    }
}

fn look() -> Look {
    let (mount, superblock) = usr_flags();
    let level = match (mount.as_str(), superblock.as_str()) {
        (_, "ro") => Level::Sealed,
        ("ro", _) => Level::MountSealed,
        _ => Level::Open,
    };
    Look {
        level,
        orphans: orphans().len(),
        holds: holds().len(),
    }
}
