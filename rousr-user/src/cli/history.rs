//! `rousr history`.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, value_parser};
use jiff::{SignedDuration, Timestamp, fmt::friendly, tz::TimeZone};
use serde::Serialize;

use super::output::{self, as_root};
use crate::{
    agent::names::{process_name, visible},
    seal::Level,
    transaction::{
        Opener, Openings, Places,
        history::{Gone, History, Package, Transaction, transactions},
    },
};

/// Packages and files named in the text of one transaction.
const NAMED: usize = 10;

/// Show what upgrades did: packages, what was held for them, and when and by whom that was let go
///
/// Oldest first. What is known goes back as far as two files of a mebibyte do.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 1 the command failed, 2 wrong arguments.")]
pub(super) struct Arguments {
    /// Only the last N
    #[arg(long, short = 'n', value_name = "N", value_parser = value_parser!(u64).range(1..))]
    last: Option<u64>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct All<'t> {
    transactions: &'t [Transaction],
    warnings: &'t [String],
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let places = Places::default();
    let (events, warnings) = History::new(&places.history).load().map_err(as_root)?;
    let transactions = transactions(events);
    let all = transactions.len();
    let last = arguments.last.and_then(|last| usize::try_from(last).ok());
    let transactions = &transactions[all - last.unwrap_or(all).min(all)..];
    if !arguments.json {
        output::warn_of(&warnings);
    }
    let told = All {
        transactions,
        warnings: &warnings,
    };
    let is_open = Openings::load(&places.openings).is_ok_and(|openings| openings.is_some());
    output::show(arguments.json, &told, || {
        view(transactions, is_open, &TimeZone::system())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The last one may be open still.
fn view(transactions: &[Transaction], is_open: bool, zone: &TimeZone) -> String {
    if transactions.is_empty() {
        return "no transaction is known\n".to_owned();
    }
    let mut text = String::new();
    for (index, transaction) in transactions.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        // Writing into a string does not fail.
        let is_open = is_open && index + 1 == transactions.len();
        let _ = write_one(&mut text, transaction, is_open, zone);
    }
    text
}

fn write_one(
    text: &mut String,
    transaction: &Transaction,
    is_open: bool,
    zone: &TimeZone,
) -> std::fmt::Result {
    let Transaction {
        began_unix_milliseconds: began,
        packages,
        files,
        holds,
        settled,
        kept,
        reaped,
        ..
    } = transaction;
    writeln!(
        text,
        "{}  {}: {}",
        time(*began, zone),
        openers(&transaction.openers),
        ending(transaction, is_open)
    )?;
    for package in packages.iter().take(NAMED) {
        writeln!(text, "  {}", visible(&change(package)))?;
    }
    write_more(text, packages.len(), "packages")?;
    write!(text, "  {files} files of packages, {holds} holds")?;
    match transaction.ended_unix_milliseconds {
        Some(_) => writeln!(text, "; {settled} went at the end, {kept} were left in all")?,
        None => writeln!(text)?,
    }
    for gone in reaped.iter().take(NAMED) {
        writeln!(text, "  {}", visible(&end(gone)))?;
    }
    write_more(text, reaped.len(), "that went with their last users")
}

fn write_more(text: &mut String, count: usize, what: &str) -> std::fmt::Result {
    match count.saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(text, "  and {more} more {what}: see --json"),
    }
}

fn openers(openers: &[Opener]) -> String {
    let name = |opener: &Opener| match opener {
        Opener::Transaction => "apt or dpkg".to_owned(),
        Opener::Administrator { .. } => "rousr unseal".to_owned(),
        Opener::Command { pid, .. } => format!("rousr exec (pid {pid})"),
    };
    openers.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// How it came out, and how long that took.
fn ending(transaction: &Transaction, is_open: bool) -> String {
    let Some(ended) = transaction.ended_unix_milliseconds else {
        let state = if is_open { "not over" } else { "cut short" };
        return state.to_owned();
    };
    let began = transaction.began_unix_milliseconds;
    let mut text = format!("over after {}", duration(began, ended));
    match (transaction.level, transaction.sealed_unix_milliseconds) {
        (Some(level), Some(sealed)) => {
            text += &format!(", {level} {} later", duration(ended, sealed));
        }
        (Some(Level::Open), None) => text += ", still writable",
        (Some(level), None) => text += &format!(", {level}"),
        (None, _) => {}
    }
    text
}

fn change(package: &Package) -> String {
    let Package {
        name,
        old_version,
        new_version,
    } = package;
    match (old_version, new_version) {
        (Some(old), Some(new)) => format!("{name} {old} -> {new}"),
        (Some(old), None) => format!("{name} {old} removed"),
        (None, Some(new)) => format!("{name} {new} new"),
        (None, None) => name.clone(),
    }
}

fn end(gone: &Gone) -> String {
    let Gone { hold, last_holder } = gone;
    let name = match &hold.path {
        Some(path) => path.to_string_lossy().into_owned(),
        None => format!("inode {}", hold.inode),
    };
    let by = last_holder
        .as_ref()
        .map(|who| format!(", last used by {}", process_name(who)))
        .unwrap_or_default();
    match hold.life_milliseconds {
        Some(life) => format!("{name} was held for {}{by}", duration(0, life)),
        None => format!("{name} was held{by}"),
    }
}

/// As people write it, in their own time zone.
fn time(unix_milliseconds: u64, zone: &TimeZone) -> String {
    let time = i64::try_from(unix_milliseconds)
        .ok()
        .and_then(|time| Timestamp::from_millisecond(time).ok());
    match time {
        Some(time) => (time.to_zoned(zone.clone()).strftime("%F %T")).to_string(),
        None => format!("(time {unix_milliseconds})"),
    }
}

/// In whole seconds.
fn duration(from: u64, to: u64) -> String {
    let seconds = to.saturating_sub(from) / 1000;
    let duration = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    friendly::SpanPrinter::new()
        .spacing(friendly::Spacing::BetweenUnitsAndDesignators)
        .duration_to_string(&duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hold::ledger::{Event, Record},
        track::process::Who,
    };

    fn record(path: Option<&str>, life: Option<u64>) -> Record {
        Record {
            path: path.map(Into::into),
            life_milliseconds: life,
            ..Record::bare(Event::Reaped, 7, std::time::SystemTime::UNIX_EPOCH)
        }
    }

    #[test]
    fn a_transaction_is_told_from_its_beginning_to_the_last_hold() {
        let package = |name: &str, old: Option<&str>, new: Option<&str>| Package {
            name: name.into(),
            old_version: old.map(Into::into),
            new_version: new.map(Into::into),
        };
        let transaction = Transaction {
            began_unix_milliseconds: 1_795_000_000_000,
            ended_unix_milliseconds: Some(1_795_000_012_345),
            openers: vec![Opener::Transaction],
            packages: vec![
                package("libssl3t64", Some("3.5.7"), Some("3.5.9")),
                package("gone", Some("1"), None),
                package("new", None, Some("2")),
            ],
            files: 31,
            holds: 40,
            settled: 38,
            kept: 2,
            level: Some(Level::Sealed),
            sealed_unix_milliseconds: Some(1_795_000_072_345),
            reaped: vec![
                Gone {
                    hold: record(Some("/usr/lib/x"), Some(15_120_000)),
                    last_holder: Some(Who {
                        pid: 812,
                        comm: "sshd".into(),
                        unit: Some("ssh.service".into()),
                        unit_user: None,
                    }),
                },
                Gone {
                    hold: record(None, None),
                    last_holder: None,
                },
            ],
            ..Transaction::default()
        };
        assert_eq!(
            view(&[transaction], false, &TimeZone::UTC),
            "\
2026-11-18 11:06:40  apt or dpkg: over after 12 s, sealed 1 m later
  libssl3t64 3.5.7 -> 3.5.9
  gone 1 removed
  new 2 new
  31 files of packages, 40 holds; 38 went at the end, 2 were left in all
  /usr/lib/x was held for 4 h 12 m, last used by sshd (pid 812, ssh.service)
  inode 7 was held
"
        );
    }

    #[test]
    fn what_is_open_is_not_over_and_many_are_counted() {
        let reaped = |_| Gone {
            hold: record(None, Some(0)),
            last_holder: None,
        };
        let transaction = Transaction {
            openers: vec![
                Opener::Command { pid: 3, started: 4 },
                Opener::Administrator { until: None },
            ],
            reaped: (0..13).map(reaped).collect(),
            ..Transaction::default()
        };
        let text = view(&[Transaction::default(), transaction], true, &TimeZone::UTC);
        assert!(text.contains("00:00:00  : cut short\n"), "{text}");
        assert!(
            text.contains("rousr exec (pid 3), rousr unseal: not over"),
            "{text}"
        );
        assert!(
            text.ends_with("and 3 more that went with their last users: see --json\n"),
            "{text}"
        );
        assert_eq!(
            view(&[], false, &TimeZone::UTC),
            "no transaction is known\n"
        );
    }
}
