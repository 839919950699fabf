//! What holds for a file of JSON objects, one a line, of whatever kind.

use std::fmt::Debug;

use rousr::json_lines::{parse, to_lines};
use serde::{Serialize, de::DeserializeOwned};

/// What can be read, for any bytes.
pub(crate) fn values<T: DeserializeOwned + Serialize + PartialEq + Debug>(input: &[u8]) -> Vec<T> {
    let (values, damages) = parse::<T>(input);
    let lines = input
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .count();
    // Half a line at the end is neither.
    assert!((lines.saturating_sub(1)..=lines).contains(&(values.len() + damages.len())));
    assert!(damages.is_sorted_by(|(one, _), (next, _)| one < next));
    let written = what_was_written_comes_back(&values);
    // Any byte of it, and each input leads to the same.
    let sum: usize = input.iter().copied().map(usize::from).sum();
    a_torn_write_costs_its_last_line(&written, sum % (written.len() + 1), &values);
    values
}

/// As bytes.
pub(crate) fn what_was_written_comes_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    values: &[T],
) -> Vec<u8> {
    let written = to_lines(values).expect("whatever it is, it can be written");
    let (read, damages) = parse::<T>(&written);
    assert_eq!(read, values);
    assert!(damages.is_empty(), "{damages:?}");
    written
}

fn a_torn_write_costs_its_last_line<T: DeserializeOwned + PartialEq + Debug>(
    written: &[u8],
    end: usize,
    values: &[T],
) {
    let (read, damages) = parse::<T>(&written[..end]);
    assert!(damages.is_empty(), "{damages:?}");
    // All but the newline of it is a whole line.
    let whole = |newline: &usize| *newline <= end;
    let newlines = written
        .iter()
        .zip(0..)
        .filter(|(byte, _)| **byte == b'\n')
        .map(|(_, at)| at);
    let kept = newlines.take_while(whole).count();
    assert_eq!(read, values[..kept]);
}
