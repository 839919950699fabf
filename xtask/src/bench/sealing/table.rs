//! Both sides of each scenario, as docs/sealing.md shows them.

use anyhow::{Result, ensure};
use rousr_figures::sealing::{Level, Look, Outcome};

/// A scenario on both sides.
pub(super) struct Row<'o> {
    pub(super) plain: &'o Outcome,
    pub(super) rousr: &'o Outcome,
}

/// Each scenario's two outcomes.
pub(super) fn rows<'o>(plain: &'o [Outcome], rousr: &'o [Outcome]) -> Result<Vec<Row<'o>>> {
    let names = |outcomes: &[Outcome]| -> Vec<String> {
        outcomes
            .iter()
            .map(|outcome| outcome.name.clone())
            .collect()
    };
    let (of_plain, of_rousr) = (names(plain), names(rousr));
    ensure!(
        of_plain == of_rousr && !of_plain.is_empty(),
        "the sides played {of_plain:?} and {of_rousr:?}"
    );
    let pairs = plain.iter().zip(rousr);
    Ok(pairs.map(|(plain, rousr)| Row { plain, rousr }).collect())
}

/// As rousr calls it.
pub(super) fn word(level: Level) -> &'static str {
    match level {
        Level::Open => "open",
        Level::MountSealed => "mount-sealed",
        Level::Sealed => "sealed",
    }
}

pub(super) fn is_sealed(level: Level) -> bool {
    level == Level::Sealed
}

pub(super) fn markdown(rows: &[Row<'_>]) -> String {
    let mut text = String::from(
        "| scenario | the kernel allows at once | plain: apt | right after | users gone | rousr: apt | right after | users gone |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for Row { plain, rousr } in rows {
        let mut allows = word(rousr.allows).to_owned();
        if !rousr.why.is_empty() {
            allows.push_str(": ");
            allows.push_str(&rousr.why);
        }
        text.push_str(&format!(
            "| {} | {allows} | {} | {} | {} | {} | {} | {} |\n",
            rousr.title,
            apt(plain),
            look(&plain.after),
            look(&plain.later),
            apt(rousr),
            look(&rousr.after),
            look(&rousr.later),
        ));
    }
    text
}

fn apt(outcome: &Outcome) -> String {
    outcome
        .apt
        .map_or_else(|| "-".to_owned(), |status| status.to_string())
}

/// The level, and what of the old files is there.
fn look(look: &Look) -> String {
    let mut text = word(look.level).to_owned();
    for (count, one, more) in [
        (look.orphans, "orphan", "orphans"),
        (look.holds, "hold", "holds"),
    ] {
        match count {
            0 => {}
            1 => text.push_str(&format!(", 1 {one}")),
            count => text.push_str(&format!(", {count} {more}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_the_level_and_what_is_left() {
        let cases = [
            (Level::Sealed, 0, 0, "sealed"),
            (Level::MountSealed, 1, 2, "mount-sealed, 1 orphan, 2 holds"),
            (Level::Open, 0, 1, "open, 1 hold"),
        ];
        for (level, orphans, holds, text) in cases {
            assert_eq!(
                look(&Look {
                    level,
                    orphans,
                    holds
                }),
                text
            );
        }
    }

    #[test]
    fn both_sides_play_the_same() {
        assert!(rows(&[], &[]).is_err());
    }
}
