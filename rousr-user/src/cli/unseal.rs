//! `rousr unseal`.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{
    opening::{self, NEED},
    output::{self, need_root},
};
use crate::{agent::errand::Step, seal::Level, sys::clock::unix_seconds, transaction::Opener};

/// Make /usr writable, until `rousr seal` or for some time
///
/// Files in use are kept as before an upgrade, so that replacing them does not block the seal.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 /usr is writable, 1 it is not, 2 wrong arguments.")]
pub(super) struct Arguments {
    /// Seal again after this time, such as 90s, 10m, 2h or 1d; the agent does it
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    need_root(NEED)?;
    let until = arguments.time.map(|time| unix_seconds() + time.as_secs());
    let outcome = opening::run(Step::Open(Opener::Administrator { until }))?;
    opening::show(&outcome, arguments.json)?;
    Ok(output::exit(outcome.level == Level::Open))
}

/// A number with a unit, as in sleep(1).
fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
    let parsed = units.iter().find_map(|&(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    match parsed {
        Some(seconds @ 1..=MAX_SECONDS) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("it has to be from 1s to 3650d".to_owned()),
        None => Err("it has to be a number with a unit, as in 90s, 10m, 2h or 1d".to_owned()),
    }
}

/// Ten years.
const MAX_SECONDS: u64 = 3650 * 86400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("2h", Some(7200)),
            ("1d", Some(86400)),
            ("0s", None),
            ("10", None),
            ("m", None),
            ("-1s", None),
            ("1.5h", None),
            ("3651d", None),
            ("99999999999999999999d", None),
            ("999999999999999999d", None),
            ("", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }
}
