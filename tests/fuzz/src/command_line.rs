//! `/proc/PID/cmdline` of a dpkg.

use std::os::unix::ffi::OsStrExt as _;

use rousr::dpkg::command_line::CommandLine;

/// For any bytes.
pub fn holds(input: &[u8]) {
    let line = CommandLine::parse(input);
    operands_are_the_last_words(input, &line);
    what_follows_the_operands_is_one_more(input, &line);
}

fn operands_are_the_last_words(input: &[u8], line: &CommandLine) {
    let words = input.strip_suffix(b"\0").unwrap_or(input);
    let words: Vec<&[u8]> = words.split(|&byte| byte == 0).skip(1).collect();
    let operands: Vec<&[u8]> = line.operands.iter().map(|word| word.as_bytes()).collect();
    assert!(words.ends_with(&operands));
    // What stands first is an option, unless `--` stands before it.
    if let Some(&[b'-', _, ..]) = operands.first() {
        assert_eq!(words[words.len() - operands.len() - 1], b"--");
    }
}

/// However much it looks like an option.
fn what_follows_the_operands_is_one_more(input: &[u8], line: &CommandLine) {
    if line.operands.is_empty() {
        return;
    }
    for word in ["--root=/elsewhere", "--simulate", "-R", "--"] {
        let mut longer = input.strip_suffix(b"\0").unwrap_or(input).to_vec();
        longer.push(0);
        longer.extend(word.bytes());
        let mut expected = line.clone();
        expected.operands.push(word.into());
        assert_eq!(CommandLine::parse(&longer), expected);
    }
}
