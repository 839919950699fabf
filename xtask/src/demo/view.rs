//! The story as it is shown.

use std::io::{Result, Write};

use anstyle::{AnsiColor, Style};

use super::Act;
use super::line::Line;

const TITLE: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// What an act came to.
pub(super) struct Told {
    pub(super) act: Act,
    pub(super) lines: Vec<Line>,
    /// Why it did not come to its end.
    pub(super) broken: Option<String>,
}

impl Told {
    /// The claims that did not hold, and an act that broke off.
    pub(super) fn failures(&self) -> impl Iterator<Item = &str> {
        let claims = self.lines.iter().filter_map(|line| match line {
            Line::Claim { holds: false, text } => Some(text.as_str()),
            _ => None,
        });
        claims.chain(self.broken.as_deref())
    }
}

/// One act: its claims and what programs said; after a failure all of its log too.
pub(super) fn act(out: &mut impl Write, told: &Told) -> Result<()> {
    writeln!(out, "{TITLE}{}{TITLE:#}", told.act.title())?;
    for line in &told.lines {
        match line {
            Line::Note(text) => writeln!(out, "  {text}")?,
            Line::Claim { holds: true, text } => writeln!(out, "    {GOOD}ok{GOOD:#}  {text}")?,
            Line::Claim { holds: false, text } => writeln!(out, "    {BAD}failed  {text}{BAD:#}")?,
            Line::Text(text) => writeln!(out, "      {QUIET}{text}{QUIET:#}")?,
            Line::Event { .. } | Line::Log(_) => {}
        }
    }
    if told.failures().next().is_some() {
        log(out, told)?;
    }
    writeln!(out)
}

fn log(out: &mut impl Write, told: &Told) -> Result<()> {
    writeln!(out, "  the log:")?;
    for line in &told.lines {
        match line {
            Line::Log(text) => writeln!(out, "    {text}")?,
            Line::Note(text) => writeln!(out, "    # {text}")?,
            Line::Claim { holds: false, text } => writeln!(out, "    # failed: {text}")?,
            _ => {}
        }
    }
    Ok(())
}

/// What happened when in an act.
pub(super) fn timeline(out: &mut impl Write, told: &Told) -> Result<()> {
    let mut events: Vec<(u64, &str)> = told
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Event { at_ms, text } => Some((*at_ms, text.as_str())),
            _ => None,
        })
        .collect();
    // Reaps are told after the fact.
    events.sort_by_key(|&(at_ms, _)| at_ms);
    writeln!(out, "{TITLE}Timeline of {}{TITLE:#}", told.act.title())?;
    let start = events.first().map_or(0, |&(at_ms, _)| at_ms);
    for (at_ms, text) in events {
        let seconds = (at_ms - start) as f64 / 1000.0;
        let style = match text.starts_with("reaped") {
            true => GOOD,
            false => Style::new(),
        };
        writeln!(out, "  {seconds:8.3} s  {style}{text}{style:#}")?;
    }
    writeln!(out)
}

/// The last line, or those that name what failed.
pub(super) fn verdict(out: &mut impl Write, acts: &[Told]) -> Result<()> {
    let mut failed = false;
    for told in acts {
        for failure in told.failures() {
            failed = true;
            writeln!(out, "{BAD}failed{BAD:#}: {}: {failure}", told.act.title())?;
        }
    }
    let claims = acts.iter().flat_map(|told| &told.lines);
    let claims = claims.filter(|line| matches!(line, Line::Claim { .. }));
    match failed {
        true => Ok(()),
        false => writeln!(out, "{GOOD}all {} claims held{GOOD:#}", claims.count()),
    }
}
