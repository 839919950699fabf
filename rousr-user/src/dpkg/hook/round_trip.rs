//! Random streams, written as apt writes them and read back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn any_setting() -> impl Strategy<Value = Setting> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..20);
    (bytes(), bytes()).prop_map(|(key, value)| Setting { key, value })
}

fn any_version(protocol: Protocol) -> impl Strategy<Value = Option<Version>> {
    let multi_arch = prop::sample::select(vec![
        MultiArch::None,
        MultiArch::Same,
        MultiArch::Foreign,
        MultiArch::Allowed,
    ]);
    let version = (
        "[0-9][0-9a-z.:~+-]{0,12}",
        "[a-z][a-z0-9-]{0,8}",
        multi_arch,
    );
    prop::option::of(
        version.prop_map(move |(version, architecture, multi_arch)| {
            let known = protocol == Protocol::V3;
            Version {
                version,
                architecture: known.then_some(architecture),
                multi_arch: known.then_some(multi_arch),
            }
        }),
    )
}

fn any_deb_path() -> impl Strategy<Value = Kind> {
    prop::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| {
        let name: Vec<u8> = bytes.into_iter().filter(|&byte| byte != b'\n').collect();
        Kind::Unpack(PathBuf::from(OsStr::from_bytes(
            &[b"/", name.as_slice()].concat(),
        )))
    })
}

fn any_action(protocol: Protocol) -> impl Strategy<Value = Action> {
    let direction = prop::sample::select(vec![Direction::Up, Direction::Same, Direction::Down]);
    let kind = prop_oneof![
        any_deb_path(),
        Just(Kind::Configure),
        Just(Kind::Remove),
        Just(Kind::Error)
    ];
    let package = "[a-z0-9][a-z0-9+.-]{1,12}";
    (
        package,
        any_version(protocol),
        any_version(protocol),
        direction,
        kind,
    )
        .prop_map(|(package, old, new, direction, kind)| Action {
            package,
            old,
            new,
            direction,
            kind,
        })
}

fn any_stream() -> impl Strategy<Value = Stream> {
    prop::sample::select(vec![Protocol::V2, Protocol::V3]).prop_flat_map(|protocol| {
        let settings = prop::collection::vec(any_setting(), 0..8);
        let actions = prop::collection::vec(any_action(protocol), 0..8);
        (settings, actions).prop_map(move |(settings, actions)| Stream {
            protocol,
            settings,
            actions,
        })
    })
}

fn any_version_1_stream() -> impl Strategy<Value = Stream> {
    let package = "[a-z0-9][a-z0-9+.-]{1,12}";
    let file = (package, "[0-9][0-9a-z.%~+-]{0,12}", "[a-z0-9]{1,8}");
    let action = file.prop_map(|(package, version, architecture)| Action {
        kind: Kind::Unpack(format!("/archives/{package}_{version}_{architecture}.deb").into()),
        package,
        old: None,
        new: None,
        direction: Direction::Unstated,
    });
    prop::collection::vec(action, 0..8).prop_map(|actions| Stream {
        protocol: Protocol::V1,
        settings: Vec::new(),
        actions,
    })
}

proptest! {
    #[test]
    fn what_apt_writes_is_read_back(stream in prop_oneof![any_stream(), any_version_1_stream()]) {
        prop_assert_eq!(Stream::parse(&stream.to_bytes()).unwrap(), stream);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Stream::parse_lenient(&bytes);
    }

    #[test]
    fn a_damaged_stream_costs_only_the_damaged_lines(
        stream in any_stream(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = stream.to_bytes();
        let first_action = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
        if first_action == bytes.len() {
            return Ok(());
        }
        let place = first_action + at.index(bytes.len() - first_action);
        bytes[place] = byte;
        let (read, _) = Stream::parse_lenient(&bytes);
        let kept = read.actions.iter().filter(|action| stream.actions.contains(action)).count();
        // A newline overwritten joins two lines.
        prop_assert!(kept + 2 >= stream.actions.len());
    }

    #[test]
    fn strict_and_lenient_agree(bytes in "(VERSION [1-4]\n)?([A-Za-z:=% ]{0,9}\n){0,3}\n?([a-z/*<=> 0-9-]{0,30}\n){0,4}") {
        let (stream, bad) = Stream::parse_lenient(bytes.as_bytes());
        match Stream::parse(bytes.as_bytes()) {
            Ok(strict) => prop_assert_eq!((strict, bad), (stream, Vec::new())),
            Err(first) => prop_assert_eq!(Some(&first), bad.first()),
        }
    }
}
