//! `rousr doctor`.

use std::{
    fmt::{self, Display, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::output;
use crate::doctor::{
    Check, Choice, Finding, HostProbes, Report, Setting, State, Verdict, diagnose,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let setting = Setting::read();
    let volume = match &setting.mounted {
        Ok(mounted) => mounted.mount_point.clone(),
        Err(_) => PathBuf::from("/usr"),
    };
    let report = diagnose(&HostProbes::new(&volume), &setting);
    output::show(arguments.json, &report, || View(&report).to_string())?;
    Ok(output::exit(report.well))
}

struct View<'r>(&'r Report);

impl Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            kernel,
            volume,
            features,
            tracker,
            checks,
            ..
        } = self.0;
        let volume = volume.as_deref().unwrap_or("an unknown filesystem");
        writeln!(f, "Linux {kernel}; /usr is on {volume}\n")?;
        write_features(f, features)?;
        f.write_char('\n')?;
        write_tracker(f, tracker)?;
        f.write_char('\n')?;
        write_checks(f, checks)
    }
}

fn write_features(f: &mut fmt::Formatter<'_>, features: &[Finding]) -> fmt::Result {
    let width = widest(features.iter().map(|finding| finding.name));
    writeln!(
        f,
        "{:WORD$}  {:width$}  {:6}  how it was found out",
        "state", "feature", "since"
    )?;
    for finding in features {
        let Finding {
            name,
            since,
            state,
            how,
            lost,
            ..
        } = finding;
        let (word, colour) = match (state, lost) {
            (State::Found, _) => ("found", AnsiColor::Green),
            (State::Missing, None) => ("missing", AnsiColor::Green),
            (State::Missing, Some(_)) => ("missing", AnsiColor::Red),
            (State::Unknown, _) => ("unknown", AnsiColor::Yellow),
        };
        write_word(f, word, colour)?;
        writeln!(f, "  {name:width$}  {since:6}  {how}")?;
        let indent = WORD + 2;
        match (lost, state) {
            (Some(lost), State::Unknown) => writeln!(f, "{:indent$}may be lost: {lost}", "")?,
            (Some(lost), _) => writeln!(f, "{:indent$}lost: {lost}", "")?,
            (None, State::Found) => {}
            (None, _) => writeln!(f, "{:indent$}not needed here", "")?,
        }
    }
    Ok(())
}

fn write_tracker(f: &mut fmt::Formatter<'_>, choice: &Choice) -> fmt::Result {
    let Choice {
        tracker,
        hooks,
        why,
        lost,
        next,
    } = choice;
    write!(f, "tracker: {}", tracker.as_str())?;
    if let Some(hooks) = hooks {
        write!(f, ", hooks: {}", hooks.describe())?;
    }
    writeln!(f, "\n  since {why}")?;
    if let Some(lost) = lost {
        writeln!(f, "  lost: {lost}")?;
    }
    write_next(f, 2, next.as_deref())
}

fn write_checks(f: &mut fmt::Formatter<'_>, checks: &[Check]) -> fmt::Result {
    let width = widest(checks.iter().map(|check| check.name));
    for Check {
        name,
        verdict,
        detail,
        next,
    } in checks
    {
        let (word, colour) = match verdict {
            Verdict::Well => ("well", AnsiColor::Green),
            Verdict::Wrong => ("wrong", AnsiColor::Red),
            Verdict::Unknown => ("unknown", AnsiColor::Yellow),
        };
        write_word(f, word, colour)?;
        writeln!(f, "  {name:width$}  {detail}")?;
        write_next(f, WORD + 2, next.as_deref())?;
    }
    Ok(())
}

fn write_next(f: &mut fmt::Formatter<'_>, indent: usize, next: Option<&str>) -> fmt::Result {
    match next {
        Some(next) => writeln!(f, "{:indent$}next: {next}", ""),
        None => Ok(()),
    }
}

/// Columns of the first word of a line.
const WORD: usize = 7;

fn write_word(f: &mut fmt::Formatter<'_>, word: &str, colour: AnsiColor) -> fmt::Result {
    let style = Style::new().fg_color(Some(colour.into()));
    write!(f, "{style}{word:WORD$}{style:#}")
}

fn widest<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::doctor::{Answer, Feature, Findings, Hooks, Kind};

    use super::*;

    fn report() -> Report {
        let answers = [
            (Feature::BpfLsm, Answer::missing("bpf is not active")),
            (
                Feature::Fentry,
                Answer::found("a tracing program is accepted"),
            ),
            (Feature::Lockdown, Answer::unknown("no file")),
        ];
        let findings = answers.map(|(feature, answer)| Finding::new(feature, answer));
        Report {
            kernel: "6.12.1".into(),
            volume: Some("/usr".into()),
            features: Findings::from_iter(findings),
            tracker: Choice {
                tracker: Kind::Bpf,
                hooks: Some(Hooks::Fentry),
                why: "bpf is not active".into(),
                lost: Some("events"),
                next: Some("boot with lsm=yama,bpf".into()),
            },
            checks: vec![Check {
                name: "agent",
                verdict: Verdict::Wrong,
                detail: "not running".into(),
                next: Some("start it".into()),
            }],
            well: false,
        }
    }

    #[test]
    fn columns_are_aligned_and_what_is_lost_stands_below() {
        let text = anstream::adapter::strip_str(&View(&report()).to_string()).to_string();
        let expected = "\
Linux 6.12.1; /usr is on /usr

state    feature                   since   how it was found out
missing  BPF as a security module  5.7     bpf is not active
         lost: hooks that are never skipped: fentry's can be, and all is counted anew then
found    BPF at function entry     5.5     a tracing program is accepted
unknown  no confidential lockdown  5.4     no file
         may be lost: exact counts: BPF programs may not read the kernel's memory

tracker: bpf, hooks: fentry security_file_open, security_file_free
  since bpf is not active
  lost: events
  next: boot with lsm=yama,bpf

wrong    agent  not running
         next: start it
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_in_camel_case() {
        let json = serde_json::to_value(report()).expect("serializes");
        assert_eq!(json["features"][0]["feature"], "bpfLsm");
        assert_eq!(json["features"][2]["state"], "unknown");
        assert_eq!(json["tracker"]["hooks"], "fentry");
        assert_eq!(json["checks"][0]["verdict"], "wrong");
        assert_eq!(json["well"], false);
    }
}
