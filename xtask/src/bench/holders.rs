//! `cargo xtask bench holders`: what it costs to tell who uses /usr.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rousr_figures::attribution::{Figures, Row};

use super::program::{self, FLOOR, Measuring, SHARE};
use crate::lab::kernel::Kernel;
use crate::say;

/// From power-on to the last figure.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// How often the time of a bare pass `rousr holders --all` may take.
const LIMIT: f64 = 2.0;

/// The rows that are held against each other.
const BARE: usize = 0;
const HOLDERS: [usize; 2] = [1, 2];

/// Time `rousr holders --all` among 1,000 processes, beside a bare pass, lsof and fuser
///
/// In one guest, in one run, whose clock counts instructions, so that the figures repeat. Exits with 1
/// where it takes more than twice the bare pass.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value_t = Kernel::Trixie)]
    kernel: Kernel,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let measuring = Measuring::build("attribution")?;
    measuring.give(&program::floor()?, FLOOR)?;
    let version = arguments.kernel.version()?.unwrap_or_default();
    say::line(format!("measuring on Linux {version}"));
    let guest = program::counting(arguments.kernel, TIMEOUT);
    let figures: Figures = measuring.run(guest, &format!("{SHARE}/{FLOOR}"))?;
    if arguments.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        println!("Linux {version}\n\n{}", table(&figures));
    }
    let mut code = ExitCode::SUCCESS;
    for row in HOLDERS.map(|index| &figures.rows[index]) {
        let ratio = ratio(&figures, row);
        if ratio > LIMIT {
            let name = &row.name;
            say::line(format!(
                "error: {name} took {ratio:.2} times the bare pass, more than {LIMIT}"
            ));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// How often the time of the bare pass a row took.
fn ratio(figures: &Figures, row: &Row) -> f64 {
    row.wall / figures.rows[BARE].wall
}

fn table(figures: &Figures) -> String {
    let Figures {
        processes,
        mappings,
        descriptors,
        bytes,
        rows,
    } = figures;
    let mut text = format!(
        "{processes} processes, {mappings} mappings and {descriptors} descriptors of /usr; {bytes} bytes of JSON\n\n\
         | what | ms | fastest to slowest | processor ms | times the bare pass |\n|---|---|---|---|---|\n"
    );
    for row in rows {
        let Row {
            name,
            wall,
            processor,
            range: [fastest, slowest],
        } = row;
        text.push_str(&format!(
            "| {name} | {wall:.0} | {fastest:.0} to {slowest:.0} | {processor:.0} | {:.2} |\n",
            ratio(figures, row)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_pass_is_the_measure() {
        let row = |name: &str, wall| Row {
            name: name.to_owned(),
            wall,
            processor: wall,
            range: [wall, wall + 1.0],
        };
        let figures = Figures {
            processes: 1000,
            mappings: 100_000,
            descriptors: 2000,
            bytes: 5,
            rows: vec![row("bare", 200.0), row("rousr", 300.0)],
        };
        let text = table(&figures);
        assert!(
            text.contains("| rousr | 300 | 300 to 301 | 300 | 1.50 |\n"),
            "{text}"
        );
    }
}
