//! `cargo xtask upgrade`: a whole upgrade of a server, by every frontend.

mod run;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, ValueEnum};
use rousr_figures::upgrade as figures;
use serde::Serialize;

use crate::lab::kernel::Kernel;
use crate::setup::{self, Need};
use run::Bench;

/// Upgrade more than a hundred packages beside sshd, a session, a container and daemons; then restart these
///
/// A guest for each frontend. Exits with 1 where one failed, /usr was not sealed when it had ended, an inode of
/// /usr without a name was in use, or a hold outlived the restarts. It takes ten minutes or more for each.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    /// By what; all where not given
    #[arg(long, value_enum)]
    frontend: Vec<Frontend>,

    /// Only the packages of these sources; of all that change where not given
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,

    /// Print one JSON object instead of a table
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Frontend {
    /// apt full-upgrade
    Apt,
    /// aptitude full-upgrade
    Aptitude,
    /// unattended-upgrade, with a run of dpkg for every few packages
    UnattendedUpgrades,
    /// dpkg -i of all package files, and again of what it refused for the order
    Dpkg,
}

impl Frontend {
    /// The word that stands for it in commands.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl From<Frontend> for figures::Frontend {
    fn from(frontend: Frontend) -> Self {
        match frontend {
            Frontend::Apt => Self::Apt,
            Frontend::Aptitude => Self::Aptitude,
            Frontend::UnattendedUpgrades => Self::UnattendedUpgrades,
            Frontend::Dpkg => Self::Dpkg,
        }
    }
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgrades {
    kernel: &'static str,
    changes: Vec<figures::Change>,
    reports: Vec<Upgrade>,
}

/// By one frontend.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgrade {
    frontend: Frontend,
    #[serde(flatten)]
    report: figures::Report,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Need::LAB)?;
    setup::ensure(Need::TOOLCHAIN)?;
    setup::ensure(&[Need::Newer])?;
    let frontends = match &arguments.frontend[..] {
        [] => Frontend::value_variants(),
        some => some,
    };
    let bench = Bench::build(arguments.kernel, &arguments.source)?;
    let mut upgrades = Upgrades {
        kernel: arguments.kernel.name(),
        changes: bench.changes.clone(),
        reports: Vec::new(),
    };
    for &frontend in frontends {
        let report = bench.upgrade(frontend)?;
        if !arguments.json {
            print!("{}", view::details(frontend, &report));
        }
        upgrades.reports.push(Upgrade { frontend, report });
    }
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&upgrades)?),
        false => print!("{}", view::table(&upgrades)),
    }
    let mut reports = upgrades.reports.iter();
    Ok(match reports.any(|upgrade| upgrade.report.is_failed()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
