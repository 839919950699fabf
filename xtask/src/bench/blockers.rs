//! `cargo xtask bench blockers`: who finds what keeps /usr writable, and at what cost.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rousr_figures::attribution::Row;
use rousr_figures::blockers::{Planted, Report};

use super::program::{self, FLOOR, Measuring, SHARE};
use crate::guest::{Guest, Init};
use crate::lab::kernel::Kernel;
use crate::say;

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// How often the time of a bare pass `rousr blockers` may take.
const LIMIT: f64 = 2.0;

/// The rows that are held against each other.
const BARE: usize = 0;
const ROUSR: [usize; 2] = [1, 2];

/// At least so many have to be planted.
const PLANTED: usize = 20;

/// Plant what blocks a seal in every way, and have rousr, lsof, fuser and needrestart look for it
///
/// In one guest, in one run, whose clock counts instructions, so that the costs repeat. Exits with 1
/// unless rousr tells each with its unit and way out, and takes less than twice a bare pass.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let measuring = Measuring::build("blockers")?;
    measuring.give(&program::floor()?, FLOOR)?;
    let version = arguments.kernel.version()?.unwrap_or_default();
    say::line(format!("planting on Linux {version}"));
    let guest = Guest {
        init: Init::Systemd,
        ..program::counting(arguments.kernel, TIMEOUT)
    };
    let report: Report = measuring.run(guest, &format!("{SHARE}/{FLOOR}"))?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("Linux {version}\n\n{}", text(&report));
    }
    let failures = failures(&report);
    for failure in &failures {
        say::line(format!("error: {failure}"));
    }
    Ok(match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What is not as it has to be.
fn failures(report: &Report) -> Vec<String> {
    let mut failures = Vec::new();
    if report.plants.len() < PLANTED {
        failures.push(format!("only {} were planted", report.plants.len()));
    }
    for Planted { what, told, .. } in &report.plants {
        if let Err(error) = told {
            failures.push(format!("{what}: {error}"));
        }
    }
    for row in ROUSR.map(|index| &report.rows[index]) {
        let ratio = ratio(report, row);
        if ratio >= LIMIT {
            let name = &row.name;
            failures.push(format!(
                "{name} took {ratio:.2} times the bare pass, not less than {LIMIT}"
            ));
        }
    }
    failures
}

/// How often the time of the bare pass a row took.
fn ratio(report: &Report, row: &Row) -> f64 {
    row.wall / report.rows[BARE].wall
}

fn text(report: &Report) -> String {
    let Report {
        plants,
        counted,
        shown,
        listed,
        processes,
        rows,
    } = report;
    let count = |found: fn(&Planted) -> bool| plants.iter().filter(|plant| found(plant)).count();
    let mut text = format!(
        "The kernel counts {counted} inodes without a name, rousr shows {shown} of them. fuser lists {listed} processes, whatever they \
         do with /usr.\n\n| planted | rousr: who, and the way out | lsof +L1 | fuser -vm | needrestart |\n|---|---|---|---|---|\n"
    );
    for plant in plants {
        let told = match &plant.told {
            Ok(told) => told,
            Err(_) => "**not found**",
        };
        let mark = |found| if found { "yes" } else { "-" };
        text.push_str(&format!(
            "| {} | {told} | {} | {} | {} |\n",
            plant.what,
            mark(plant.lsof),
            mark(plant.fuser),
            mark(plant.needrestart)
        ));
    }
    text.push_str(&format!(
        "| found, of {} | {} | {} | {} | {} |\n\n",
        plants.len(),
        count(|plant| plant.told.is_ok()),
        count(|plant| plant.lsof),
        count(|plant| plant.fuser),
        count(|plant| plant.needrestart)
    ));
    text.push_str(&format!(
        "Among {processes} processes:\n\n\
         | what | ms | fastest to slowest | times the bare pass |\n|---|---|---|---|\n"
    ));
    for row in rows {
        let Row {
            name,
            wall,
            range: [fastest, slowest],
            ..
        } = row;
        text.push_str(&format!(
            "| {name} | {wall:.0} | {fastest:.0} to {slowest:.0} | {:.2} |\n",
            ratio(report, row)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(told: Result<String, String>, walls: [f64; 3]) -> Report {
        let planted = || Planted {
            what: "a file".to_owned(),
            told: told.clone(),
            lsof: true,
            fuser: false,
            needrestart: false,
        };
        let row = |wall| Row {
            name: "x".to_owned(),
            wall,
            processor: wall,
            range: [wall, wall],
        };
        Report {
            plants: (0..PLANTED).map(|_| planted()).collect(),
            counted: 3,
            shown: 2,
            listed: 9,
            processes: 1000,
            rows: walls.map(row).into(),
        }
    }

    #[test]
    fn all_have_to_be_found_and_cheaply() {
        let found = Ok("x.service: restart".to_owned());
        let walls = [100.0, 190.0, 199.0];
        assert_eq!(failures(&report(found.clone(), walls)), [] as [String; 0]);
        let dear = failures(&report(found, [100.0, 190.0, 200.0]));
        assert_eq!(dear.len(), 1, "{dear:?}");
        let missed = report(Err("no file".to_owned()), walls);
        assert_eq!(failures(&missed).len(), PLANTED);
        let text = text(&missed);
        assert!(
            text.contains("| found, of 20 | 0 | 20 | 0 | 0 |\n"),
            "{text}"
        );
        assert!(text.contains("| x | 190 | 190 to 190 | 1.90 |\n"), "{text}");
    }
}
