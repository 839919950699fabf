//! A line a kill, and their sum.

use std::collections::BTreeMap;

use rousr_figures::kills::Kill;
use serde::Serialize;

/// The word that JSON has for a role or an act.
pub(super) fn word(value: impl Serialize) -> String {
    let text = serde_json::to_string(&value).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

/// One kill.
pub(super) fn line(kill: &Kill) -> String {
    let outcome = match kill.is_failed() {
        true => "FAILED",
        false => "ok",
    };
    let again = if kill.again { ", apt run again" } else { "" };
    let mut text = format!(
        "{:>4} {outcome} {} {}: before {}; sealed after {} ms{again}\n",
        kill.number,
        word(kill.act),
        word(kill.role),
        kill.deaths.join(", then before "),
        kill.sealed_ms,
    );
    for fault in &kill.faults {
        text += &format!("     {}\n", fault.trim_end().replace('\n', "\n     "));
    }
    text
}

/// All of them.
pub(super) fn sum(kills: &[Kill]) -> String {
    let mut table: BTreeMap<(String, String), [u64; 6]> = BTreeMap::new();
    for kill in kills {
        let row = table.entry((word(kill.act), word(kill.role))).or_default();
        let figures = [
            1,
            kill.deaths.len() as u64,
            u64::from(kill.again),
            kill.unsealed,
            kill.leaked,
            kill.lost,
        ];
        for (sum, figure) in row.iter_mut().zip(figures) {
            *sum += figure;
        }
    }
    let mut text = String::from(
        "\n| act | killed | kills | deaths | apt run again | unsealed | leaked | lost |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut all = [0; 6];
    for ((act, role), row) in &table {
        text += &format!("| {act} | {role} | {} |\n", cells(row));
        for (sum, figure) in all.iter_mut().zip(row) {
            *sum += figure;
        }
    }
    text += &format!("| all | | {} |\n", cells(&all));
    let failed = kills.iter().filter(|kill| kill.is_failed()).count();
    text += &format!("\n{} kills, {failed} failed\n", kills.len());
    text
}

fn cells(row: &[u64; 6]) -> String {
    row.map(|figure| figure.to_string()).join(" | ")
}

#[cfg(test)]
mod tests {
    use rousr_figures::kills::{Act, Role};

    use super::*;

    #[test]
    fn shows_each_and_adds_all_up() {
        let kill = Kill {
            number: 12,
            role: Role::LoneHook,
            act: Act::Removal,
            deaths: vec!["3 link".into(), "1 unlink".into()],
            sealed_ms: 40,
            again: true,
            unsealed: 0,
            leaked: 1,
            lost: 0,
            faults: vec!["stray 7.entry".into()],
        };
        assert_eq!(
            line(&kill),
            "  12 FAILED removal lone-hook: before 3 link, then before 1 unlink; \
             sealed after 40 ms, apt run again\n     stray 7.entry\n"
        );
        let text = sum(&[kill.clone(), kill]);
        for line in [
            "| removal | lone-hook | 2 | 4 | 2 | 0 | 2 | 0 |",
            "| all | | 2 | 4 | 2 | 0 | 2 | 0 |",
            "2 kills, 2 failed",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
