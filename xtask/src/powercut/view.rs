//! A line a cut, and their sum.

use std::collections::BTreeMap;

use super::{Outcome, Stage};

/// One cut.
pub(super) fn line(outcome: &Outcome) -> String {
    let word = match outcome.is_failed() {
        true => "FAILED",
        false => "ok",
    };
    let interrupted = match outcome.findings.interrupted {
        true => ", dpkg was interrupted",
        false => "",
    };
    let mut text = format!(
        "{:>4} {word} {}: after {} requests, {} of {} unflushed ones lost{interrupted}\n",
        outcome.number,
        name(outcome.stage),
        outcome.moment,
        outcome.requests_lost,
        outcome.unflushed,
    );
    /// More of a kind tell nothing.
    const MOST: usize = 12;
    let faults = &outcome.findings.faults;
    for fault in faults.iter().take(MOST) {
        text += &format!("     {}\n", fault.trim_end().replace('\n', "\n     "));
    }
    if faults.len() > MOST {
        text += &format!("     and {} more\n", faults.len() - MOST);
    }
    text
}

/// All of them.
pub(super) fn sum(outcomes: &[Outcome]) -> String {
    let mut table: BTreeMap<Stage, [u64; 7]> = BTreeMap::new();
    let mut all = [0; 7];
    for outcome in outcomes {
        let findings = &outcome.findings;
        let figures = [
            1,
            u64::from(findings.interrupted),
            outcome.requests_lost as u64,
            outcome.damaged,
            findings.unsealed,
            findings.leaked,
            findings.lost,
        ];
        let row = table.entry(outcome.stage).or_default();
        for ((sum, all), figure) in row.iter_mut().zip(&mut all).zip(figures) {
            *sum += figure;
            *all += figure;
        }
    }
    let mut text = String::from(
        "\n| cut in | cuts | dpkg interrupted | requests lost | fsck faults | unsealed | leaked | files lost |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (stage, row) in &table {
        text += &format!("| {} | {} |\n", name(*stage), cells(row));
    }
    text += &format!("| all | {} |\n", cells(&all));
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.is_failed())
        .count();
    text += &format!("\n{} cuts, {failed} failed\n", outcomes.len());
    text
}

fn cells(row: &[u64; 7]) -> String {
    row.map(|figure| figure.to_string()).join(" | ")
}

/// As the command line has it.
pub(super) fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Upgrade => "upgrade",
        Stage::Reap => "reap",
    }
}

#[cfg(test)]
mod tests {
    use rousr_figures::powercut::Findings;

    use super::*;

    #[test]
    fn shows_each_and_adds_all_up() {
        let outcome = Outcome {
            number: 3,
            stage: Stage::Upgrade,
            moment: 1167,
            unflushed: 27,
            requests_lost: 10,
            damaged: 0,
            findings: Findings {
                interrupted: true,
                lost: 1,
                faults: vec!["debsums -s: changed file".into()],
                ..Findings::default()
            },
        };
        assert_eq!(
            line(&outcome),
            "   3 FAILED upgrade: after 1167 requests, 10 of 27 unflushed ones lost, dpkg was interrupted\n     \
             debsums -s: changed file\n"
        );
        let text = sum(&[outcome.clone(), outcome]);
        for line in [
            "| upgrade | 2 | 2 | 20 | 0 | 0 | 0 | 2 |",
            "| all | 2 | 2 | 20 | 0 | 0 | 0 | 2 |",
            "2 cuts, 2 failed",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
