//! The stream that apt feeds to a hook.

use std::{collections::HashSet, os::unix::ffi::OsStrExt as _, path::PathBuf};

use rousr::dpkg::{
    candidates::candidates,
    hook::{Action, BadLine, Direction, Kind, Protocol, Setting, Stream, Version},
};

/// For any bytes.
pub fn holds(input: &[u8]) {
    let (stream, bad) = Stream::parse_lenient(input);
    strict_agrees(input, &stream, &bad);
    each_line_is_told_once(input, &stream, &bad);
    nothing_is_made_up(input, &stream);
    stream
        .actions
        .iter()
        .for_each(|action| fits(action, stream.protocol));
    what_apt_writes_comes_back(&stream);
    what_came_before_a_cut_is_there(input, &stream);
    each_file_is_held_once(&stream);
}

fn strict_agrees(input: &[u8], stream: &Stream, bad: &[BadLine]) {
    match (Stream::parse(input), bad.first()) {
        (Ok(strict), None) => assert_eq!(strict, *stream),
        (Err(told), Some(first)) => assert_eq!(told, *first),
        (strict, _) => panic!("strict: {strict:?}, lenient: {bad:?}"),
    }
}

fn each_line_is_told_once(input: &[u8], stream: &Stream, bad: &[BadLine]) {
    let lines = input.split_inclusive(|&byte| byte == b'\n').count();
    // The empty line that ends the settings is missed after the last one.
    assert!(
        bad.iter()
            .all(|line| (1..=lines + 1).contains(&line.number))
    );
    assert!(bad.is_sorted_by(|one, next| one.number < next.number));
    // A line that is cut short can be told and be taken.
    let told = stream.settings.len() + stream.actions.len() + bad.len();
    assert!(told <= lines + 2, "{told} of {lines} lines");
    for BadLine { line, .. } in bad {
        assert!(line.chars().count() <= 201);
    }
}

fn nothing_is_made_up(input: &[u8], stream: &Stream) {
    let setting = |setting: &Setting| setting.key.len() + setting.value.len();
    let version = |version: &Option<Version>| {
        let known = version.as_ref();
        known.map_or(0, |known| {
            known.version.len() + known.architecture.iter().map(String::len).sum::<usize>()
        })
    };
    let action = |action: &Action| match &action.kind {
        // Version 1 tells the package by the path.
        Kind::Unpack(path) if stream.protocol == Protocol::V1 => path.as_os_str().len(),
        Kind::Unpack(path) => path.as_os_str().len() + action.package.len(),
        _ => action.package.len(),
    } + version(&action.old) + version(&action.new);
    let settings: usize = stream.settings.iter().map(setting).sum();
    let actions: usize = stream.actions.iter().map(action).sum();
    assert!(settings + actions <= input.len());
}

/// A package's name becomes part of a file's name, and its version is shown on a terminal.
fn fits(action: &Action, protocol: Protocol) {
    assert!(
        action
            .package
            .starts_with(|first: char| first.is_ascii_alphanumeric())
    );
    assert!(
        action
            .package
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
    );
    if let Kind::Unpack(path) = &action.kind {
        assert!(path.is_absolute());
        assert!(!path.as_os_str().as_bytes().contains(&b'\n'));
    }
    assert_eq!(
        action.direction == Direction::Unstated,
        protocol == Protocol::V1
    );
    for version in [&action.old, &action.new].into_iter().flatten() {
        assert!(
            version.version != "-" && version.version.bytes().all(|byte| byte.is_ascii_graphic())
        );
        assert_eq!(version.multi_arch.is_some(), protocol == Protocol::V3);
        let architecture = version.architecture.as_deref().unwrap_or_default();
        assert!(
            architecture
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
    }
}

fn what_apt_writes_comes_back(stream: &Stream) {
    let written = stream.to_bytes();
    let read = Stream::parse(&written);
    assert_eq!(read.as_ref(), Ok(stream), "{}", written.escape_ascii());
}

fn what_came_before_a_cut_is_there(input: &[u8], stream: &Stream) {
    let half = &input[..input.len() / 2];
    let whole_lines = half
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    let (cut, _) = Stream::parse_lenient(&half[..whole_lines]);
    assert!(stream.settings.starts_with(&cut.settings));
    assert!(stream.actions.starts_with(&cut.actions));
}

/// Every package has a file of its own, and one that it shares with all others.
fn each_file_is_held_once(stream: &Stream) {
    let own = |action: &Action| PathBuf::from(format!("/usr/{}", action.package));
    let (losing, unlisted) = candidates(&stream.actions, |action| {
        Ok(vec!["/usr/shared".into(), own(action)])
    });
    assert!(unlisted.is_empty());
    let files: Vec<_> = losing.iter().flat_map(|package| &package.files).collect();
    let once: HashSet<_> = files.iter().collect();
    assert_eq!(files.len(), once.len());
    for action in &stream.actions {
        let replaced = matches!(action.kind, Kind::Unpack(_))
            && (action.old.is_some() || stream.protocol == Protocol::V1);
        if replaced || action.kind == Kind::Remove {
            assert!(once.contains(&&own(action)), "{action:?}");
        }
    }
}
