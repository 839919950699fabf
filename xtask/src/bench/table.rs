//! Figures against what they are compared with.

use std::fmt::Write as _;

use rousr_figures::cost::{
    CROWD, FLOOR, FOREIGN, Figure, IDLE, NEIGHBOUR, NOTHING, ROUSR, TMPFS, UNWATCHED, WATCHED,
};
use serde::Serialize;

/// A figure, and what it is more than the same file costs otherwise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(flatten)]
    figure: Figure,
    /// Than with nothing attached.
    over_nothing: Option<i64>,
    /// Than with two empty programs.
    over_floor: Option<i64>,
    /// What it may be more, and than which.
    limit: Option<Limit>,
}

/// What a row may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Limit {
    OverNothing(i64),
    OverFloor(i64),
}

impl Row {
    /// A row for each figure.
    pub(super) fn all(figures: &[Figure]) -> Vec<Self> {
        let over = |figure: &Figure, attached: &str| {
            let base = figures
                .iter()
                .find(|base| base.attached == attached && base.file == figure.file)?;
            figure.pair.checked_signed_diff(base.pair)
        };
        figures
            .iter()
            .map(|figure| Self {
                over_nothing: over(figure, NOTHING),
                over_floor: over(figure, FLOOR),
                limit: limit(&figure.attached, &figure.file),
                figure: figure.clone(),
            })
            .collect()
    }

    /// Whether it costs more than it may.
    pub(super) fn is_exceeded(&self) -> bool {
        match self.limit {
            None => false,
            Some(Limit::OverNothing(limit)) => self.over_nothing.is_none_or(|over| over > limit),
            Some(Limit::OverFloor(limit)) => self.over_floor.is_none_or(|over| over > limit),
        }
    }
}

fn limit(attached: &str, file: &str) -> Option<Limit> {
    Some(match (attached, file) {
        (IDLE, _) => Limit::OverNothing(0),
        (ROUSR, TMPFS | FOREIGN) => Limit::OverFloor(80),
        (ROUSR, UNWATCHED | NEIGHBOUR) => Limit::OverFloor(220),
        (ROUSR, WATCHED | CROWD) => Limit::OverFloor(900),
        _ => return None,
    })
}

/// The rows as a table.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut table = String::from(
        "| attached | file | open | close | pair | over nothing | over the floor | limit |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let figure = &row.figure;
        let limit = match row.limit {
            None => String::new(),
            Some(Limit::OverNothing(limit) | Limit::OverFloor(limit)) => limit.to_string(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {}{} | {} | {} | {limit}{} |",
            figure.attached,
            file(&figure.file),
            figure.open.map(thousands).unwrap_or_default(),
            figure.close.map(thousands).unwrap_or_default(),
            if figure.settled { "" } else { "~" },
            thousands(figure.pair),
            signed(row.over_nothing),
            signed(row.over_floor),
            if row.is_exceeded() { " !" } else { "" },
        );
    }
    table
}

/// What a file is, in the table's words.
fn file(name: &str) -> &str {
    match name {
        FOREIGN => "another ext4",
        UNWATCHED => "/usr",
        NEIGHBOUR => "/usr, another file",
        WATCHED => "a hold",
        CROWD => "a hold, 16 processes",
        other => other,
    }
}

fn signed(value: Option<i64>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let sign = match value {
        ..0 => "-",
        0 => "",
        1.. => "+",
    };
    sign.to_owned() + &thousands(value.unsigned_abs())
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(attached: &str, file: &str, pair: u64) -> Figure {
        Figure {
            attached: attached.into(),
            file: file.into(),
            pair,
            open: Some(pair - 1),
            close: Some(1),
            settled: true,
        }
    }

    #[test]
    fn each_file_is_compared_with_itself_and_held_to_its_limit() {
        let base = [
            ("nothing", "foreign", 7000),
            ("nothing", "watched", 8000),
            ("empty programs", "foreign", 7300),
            ("empty programs", "watched", 8400),
        ];
        let cases = [
            ("rousr", "foreign", 7380, Some(380), Some(80), false),
            ("rousr", "foreign", 7381, Some(381), Some(81), true),
            ("rousr", "watched", 9300, Some(1300), Some(900), false),
            ("rousr", "watched", 9301, Some(1301), Some(901), true),
            (
                "rousr with nothing to watch",
                "foreign",
                7000,
                Some(0),
                Some(-300),
                false,
            ),
            (
                "rousr with nothing to watch",
                "foreign",
                7001,
                Some(1),
                Some(-299),
                true,
            ),
            (
                "filelife",
                "foreign",
                99_000,
                Some(92_000),
                Some(91_700),
                false,
            ),
            // What cannot be compared is not within its limit.
            ("rousr", "tmpfs", 1, None, None, true),
        ];
        for (attached, file, pair, over_nothing, over_floor, exceeded) in cases {
            let mut figures: Vec<Figure> = base
                .iter()
                .map(|&(attached, file, pair)| figure(attached, file, pair))
                .collect();
            figures.push(figure(attached, file, pair));
            let rows = Row::all(&figures);
            let row = rows.last().expect("a row for each figure");
            assert_eq!(
                (row.over_nothing, row.over_floor, row.is_exceeded()),
                (over_nothing, over_floor, exceeded),
                "{attached}, {file}: {pair}"
            );
        }
    }

    #[test]
    fn a_row_reads_well() {
        let mut figures = vec![
            figure("nothing", "watched", 7_228),
            figure("empty programs", "watched", 7_588),
            figure("rousr", "watched", 9_104),
        ];
        figures[2].settled = false;
        let table = markdown(&Row::all(&figures));
        assert_eq!(
            table.lines().last(),
            Some("| rousr | a hold | 9,103 | 1 | ~9,104 | +1,876 | +1,516 | 900 ! |")
        );
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (value, expected) in [
            (0, "0"),
            (999, "+999"),
            (1000, "+1,000"),
            (-1_234_567, "-1,234,567"),
        ] {
            assert_eq!(signed(Some(value)), expected);
        }
    }
}
