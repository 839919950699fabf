//! A line a frontend.

use rousr_figures::upgrade::{Change, Report};

use super::{Frontend, Upgrade, Upgrades};

/// What the table has no room for, and what was found wrong.
pub(super) fn details(frontend: Frontend, report: &Report) -> String {
    let name = frontend.name();
    let mut text = format!(
        "{name}: exit {}, {} upgraded, {}; held by {}; by hand: {}\n",
        report.status,
        report.upgraded,
        report.level,
        report.units.join(", "),
        report.by_hand.join("; "),
    );
    for fault in &report.faults {
        let fault = fault.trim_end().replace('\n', "\n    ");
        text += &format!("{name}: FAILED: {fault}\n");
    }
    text
}

/// All of them, as docs/upgrades.md has it.
pub(super) fn table(upgrades: &Upgrades) -> String {
    let Upgrades {
        kernel,
        changes,
        reports,
    } = upgrades;
    let newer = changes.iter().filter(|change| !change.is_repacked).count();
    let mut text = format!(
        "Linux {kernel}, {} packages of {} MiB: {newer} in a really newer version, {} the same one repacked\n\n\
         | frontend | upgraded | exit | seconds | transactions | level after | orphans | holds made | held after | MiB held | by units | after restarts |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        changes.len(),
        mib(changes),
        changes.len() - newer,
    );
    for Upgrade { frontend, report } in reports {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {} | {} |\n",
            frontend.name(),
            report.upgraded,
            report.status,
            report.seconds,
            report.transactions,
            report.level,
            report.orphans.len(),
            report.made,
            report.holds,
            report.bytes as f64 / f64::from(1 << 20),
            report.units.len(),
            report.left,
        );
    }
    let failed = reports.iter().filter(|one| one.report.is_failed()).count();
    text += &format!("\n{} upgrades, {failed} failed\n", reports.len());
    text
}

fn mib(changes: &[Change]) -> u64 {
    changes.iter().map(|change| change.kib).sum::<u64>() >> 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_came_of_it() {
        let change = |is_repacked| Change {
            name: "a".into(),
            source: "a".into(),
            old: "1".into(),
            new: "2".into(),
            kib: 1024,
            is_repacked,
        };
        let report = Report {
            upgraded: 3,
            seconds: 61,
            transactions: 1,
            made: 90,
            level: "sealed".into(),
            holds: 12,
            bytes: 3 << 19,
            units: vec!["init.scope".into()],
            by_hand: vec!["a".into(), "b".into()],
            faults: vec!["one\ntwo\n".into()],
            ..Report::default()
        };
        assert_eq!(
            details(Frontend::UnattendedUpgrades, &report),
            "unattended-upgrades: exit 0, 3 upgraded, sealed; held by init.scope; by hand: a; b\n\
             unattended-upgrades: FAILED: one\n    two\n"
        );
        let text = table(&Upgrades {
            kernel: "6.12",
            changes: vec![change(true), change(true), change(false)],
            reports: vec![Upgrade {
                frontend: Frontend::UnattendedUpgrades,
                report,
            }],
        });
        for line in [
            "Linux 6.12, 3 packages of 3 MiB: 1 in a really newer version, 2 the same one repacked",
            "| unattended-upgrades | 3 | 0 | 61 | 1 | sealed | 0 | 90 | 12 | 1.5 | 1 | 0 |",
            "1 upgrades, 1 failed",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
