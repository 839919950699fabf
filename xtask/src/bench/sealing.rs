//! `cargo xtask bench sealing`: the plain remount and rousr, the same upgrades with somebody in the way.

mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rousr_figures::sealing::{Outcome, Report};

use super::program::Measuring;
use crate::guest::{Disks, Guest, disk};
use crate::lab::kernel::Kernel;
use crate::say;

/// From power-on to the last scenario.
const TIMEOUT: Duration = Duration::from_secs(1500);

/// The scenario that takes two boots.
const CUT: &str = "power-cut";

/// Play 13 upgrades with somebody in the way, with the plain remount and with rousr
///
/// Prints a table of what is read-only right after apt and once the users are gone, looked at without
/// rousr. Exits with 1 unless rousr reaches at once what the kernel allows, and all of it later.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    /// Play only the scenario of this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Whose work it is.
#[derive(Clone, Copy)]
enum Side {
    Plain,
    Rousr,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Rousr => "rousr",
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let measuring = Measuring::build("sealing")?;
    let version = arguments.kernel.version()?.unwrap_or_default();
    let play = |side: Side| {
        say::line(format!("{} on Linux {version}", side.name()));
        play(&measuring, side, arguments)
    };
    let (plain, rousr) = (play(Side::Plain)?, play(Side::Rousr)?);
    let rows = table::rows(&plain.outcomes, &rousr.outcomes)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&[&plain, &rousr])?);
    } else {
        println!("Linux {version}\n\n{}", table::markdown(&rows));
    }
    let failures = rousr_falls_short(&rows);
    for failure in &failures {
        say::line(format!("error: {failure}"));
    }
    Ok(match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// All scenarios of a side, or one.
fn play(measuring: &Measuring, side: Side, arguments: &Arguments) -> Result<Report> {
    let mut report = Report::default();
    let only = arguments.only.as_deref();
    let plain = Guest {
        timeout: TIMEOUT,
        ..Guest::systemd(arguments.kernel)
    };
    let guest = match side {
        Side::Plain => plain,
        Side::Rousr => measuring.install(plain),
    };
    if only != Some(CUT) {
        let words: Vec<&str> = [side.name()].into_iter().chain(only).collect();
        report = measuring.run_as_is(&guest, &words)?;
    }
    if only.is_none_or(|only| only == CUT) {
        report.outcomes.extend(cut(measuring, side, &guest)?);
    }
    Ok(report)
}

/// Ends a guest in the middle of an upgrade, and boots its disks again.
fn cut(measuring: &Measuring, side: Side, guest: &Guest) -> Result<Vec<Outcome>> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    disk::make(folder.path())?;
    let guest = Guest {
        disks: Disks::Kept(folder.path().into()),
        ..guest.clone()
    };
    // The guest ends with the program, as if the power went: nothing is written back.
    let _: serde_json::Value = measuring.run_as_is(&guest, &["cut", side.name()])?;
    let report: Report = measuring.run_as_is(&guest, &["rebooted", side.name()])?;
    Ok(report.outcomes)
}

/// Where rousr is less read-only than the kernel allows at once, or not all is done later.
fn rousr_falls_short(rows: &[table::Row<'_>]) -> Vec<String> {
    rows.iter()
        .flat_map(|row| {
            let Outcome {
                title,
                allows,
                after,
                later,
                ..
            } = row.rousr;
            let at_once = (after.level < *allows).then(|| {
                format!(
                    "{title}: {} at once, {} is allowed",
                    table::word(after.level),
                    table::word(*allows)
                )
            });
            let is_done = table::is_sealed(later.level) && later.holds == 0 && later.orphans == 0;
            let later = (!is_done).then(|| {
                format!(
                    "{title}: {} with {} holds and {} orphans once the users are gone",
                    table::word(later.level),
                    later.holds,
                    later.orphans
                )
            });
            at_once.into_iter().chain(later)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rousr_figures::sealing::{Level, Look};

    use super::*;

    fn outcome(allows: Level, after: Level, later: Level, holds: usize) -> Outcome {
        let look = |level, holds| Look {
            level,
            orphans: 0,
            holds,
        };
        Outcome {
            name: "x".to_owned(),
            title: "somebody".to_owned(),
            allows,
            why: String::new(),
            apt: Some(0),
            after: look(after, 1),
            later: look(later, holds),
        }
    }

    #[test]
    fn less_than_the_kernel_allows_is_too_little() {
        use Level::{MountSealed, Open, Sealed};
        for (allows, after, later, holds, failures) in [
            (Sealed, Sealed, Sealed, 0, 0),
            (Open, Open, Sealed, 0, 0),
            (Open, MountSealed, Sealed, 0, 0),
            (Sealed, MountSealed, Sealed, 0, 1),
            (MountSealed, Open, MountSealed, 0, 2),
            (Sealed, Sealed, Sealed, 1, 1),
        ] {
            let outcome = outcome(allows, after, later, holds);
            let rows = table::rows(
                std::slice::from_ref(&outcome),
                std::slice::from_ref(&outcome),
            )
            .expect("the same scenarios");
            let found = rousr_falls_short(&rows);
            assert_eq!(found.len(), failures, "{found:?}");
        }
    }
}
