use std::path::PathBuf;

use super::*;

fn installed(version: &str, architecture: &str, multi_arch: MultiArch) -> Option<Version> {
    Some(Version {
        version: version.to_owned(),
        architecture: Some(architecture.to_owned()),
        multi_arch: Some(multi_arch),
    })
}

fn bare(version: &str) -> Option<Version> {
    Some(Version {
        version: version.to_owned(),
        architecture: None,
        multi_arch: None,
    })
}

fn unpack(path: &str) -> Kind {
    Kind::Unpack(PathBuf::from(path))
}

/// Written as apt writes for `apt-get install libssl3t64 rousr-demo- /srv/debs/my\ tool.deb`.
const UPGRADE: &[u8] = b"VERSION 3
APT::Architecture=amd64
APT::Architectures::=amd64
DPkg::Tools::Options::rousr%3d/usr/sbin/rousr::Version=3
DPkg::Post-Invoke::=if%20[%20-x%20/usr/sbin/rousr%20];%20then%20a=b;%20fi
Dir::State=var/lib/apt

rousr-demo 1.0 amd64 none > - - none **REMOVE**
libssl3t64 3.5.7-1~deb13u3 amd64 same < 3.5.9-1~deb13u1 amd64 same /var/cache/apt/archives/libssl3t64_3.5.9-1~deb13u1_amd64.deb
my-tool - - none < 1:2 all foreign /srv/debs/my tool.deb
libssl3t64 3.5.7-1~deb13u3 amd64 same < 3.5.9-1~deb13u1 amd64 same **CONFIGURE**
my-tool - - none < 1:2 all foreign **CONFIGURE**
";

#[test]
fn reads_an_upgrade_in_version_3() {
    let stream = Stream::parse(UPGRADE).unwrap();
    assert_eq!(stream.protocol, Protocol::V3);
    assert_eq!(stream.settings.len(), 5);
    assert_eq!(
        stream.setting("apt::architectures::").collect::<Vec<_>>(),
        [b"amd64"]
    );
    assert_eq!(
        stream.settings[2].key,
        b"DPkg::Tools::Options::rousr=/usr/sbin/rousr::Version"
    );
    assert_eq!(
        stream.settings[3].value,
        b"if [ -x /usr/sbin/rousr ]; then a=b; fi"
    );

    let old = installed("3.5.7-1~deb13u3", "amd64", MultiArch::Same);
    let new = installed("3.5.9-1~deb13u1", "amd64", MultiArch::Same);
    let libssl = |kind| Action {
        package: "libssl3t64".to_owned(),
        old: old.clone(),
        new: new.clone(),
        direction: Direction::Up,
        kind,
    };
    let my_tool = |kind| Action {
        package: "my-tool".to_owned(),
        old: None,
        new: installed("1:2", "all", MultiArch::Foreign),
        direction: Direction::Up,
        kind,
    };
    let removed = Action {
        package: "rousr-demo".to_owned(),
        old: installed("1.0", "amd64", MultiArch::None),
        new: None,
        direction: Direction::Down,
        kind: Kind::Remove,
    };
    let deb = "/var/cache/apt/archives/libssl3t64_3.5.9-1~deb13u1_amd64.deb";
    assert_eq!(
        stream.actions,
        [
            removed,
            libssl(unpack(deb)),
            my_tool(unpack("/srv/debs/my tool.deb")),
            libssl(Kind::Configure),
            my_tool(Kind::Configure),
        ]
    );
}

/// Captured from apt 2.6.1 with `-o Debug::pkgDPkgPM=1 install "./my debs/my tool.deb" xxd-`; of
/// the 150 settings only the remarkable ones are left.
#[test]
fn reads_what_apt_wrote() {
    let settings = r#"APT::NeverAutoRemove::=^linux-image-[a-z0-9]*$
Dir=/
DPkg::Pre-Install-Pkgs::=rousr=/usr/sbin/rousr%20&&%20[%20!%20-x%20$rousr%20]
DPkg::Tools::Options::rousr%3d/usr/sbin/rousr::InfoFD=20
CommandLine::AsString=apt-get%20-y%20install%20./my%20debs/my%20tool.deb%20xxd-
quiet=1
"#;
    let v3 = "xxd 2:9.0.1378-2+deb12u2 amd64 foreign > - - none **REMOVE**
my-tool - - none < 1:2 all foreign /tmp/my debs/my tool.deb
my-tool - - none < 1:2 all foreign **CONFIGURE**
";
    let v2 = "xxd 2:9.0.1378-2+deb12u2 > - **REMOVE**
my-tool - < 1:2 /tmp/my debs/my tool.deb
my-tool - < 1:2 **CONFIGURE**
";
    for (number, lines) in [(2, v2), (3, v3)] {
        let bytes = format!("VERSION {number}\n{settings}\n{lines}");
        let stream = Stream::parse(bytes.as_bytes()).unwrap();
        assert_eq!(stream.settings.len(), 6);
        let hook = b"rousr=/usr/sbin/rousr && [ ! -x $rousr ]";
        assert_eq!(
            stream
                .setting("dpkg::pre-install-pkgs::")
                .collect::<Vec<_>>(),
            [hook]
        );
        let seen: Vec<_> = stream
            .actions
            .iter()
            .map(|action| {
                let old = action.old.as_ref().map(|version| version.version.as_str());
                (
                    action.package.as_str(),
                    old,
                    action.direction,
                    action.kind.clone(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (
                    "xxd",
                    Some("2:9.0.1378-2+deb12u2"),
                    Direction::Down,
                    Kind::Remove
                ),
                (
                    "my-tool",
                    None,
                    Direction::Up,
                    unpack("/tmp/my debs/my tool.deb")
                ),
                ("my-tool", None, Direction::Up, Kind::Configure),
            ]
        );
    }
}

#[test]
fn reads_the_lines_of_version_2() {
    let stream = Stream::parse(
        b"VERSION 2\nDir=/\n\nlibsame 2 > 1 /a.deb\nstuff 2 > - **REMOVE**\nx - < 1 **ERROR**\nx 1 = 1 /x.deb\n",
    )
    .unwrap();
    let action = |package: &str, old, direction, new, kind| Action {
        package: package.to_owned(),
        old,
        new,
        direction,
        kind,
    };
    assert_eq!(stream.protocol, Protocol::V2);
    assert_eq!(
        stream.actions,
        [
            action(
                "libsame",
                bare("2"),
                Direction::Down,
                bare("1"),
                unpack("/a.deb")
            ),
            action("stuff", bare("2"), Direction::Down, None, Kind::Remove),
            action("x", None, Direction::Up, bare("1"), Kind::Error),
            action("x", bare("1"), Direction::Same, bare("1"), unpack("/x.deb")),
        ]
    );
}

#[test]
fn reads_version_1_and_guesses_names() {
    let stream = Stream::parse(b"/var/cache/apt/archives/g++_4%3a14_amd64.deb\n/tmp/plain.deb\n");
    let stream = stream.unwrap();
    assert_eq!(stream.protocol, Protocol::V1);
    let seen: Vec<_> = stream
        .actions
        .iter()
        .map(|action| (action.package.as_str(), action.direction, &action.kind))
        .collect();
    assert_eq!(
        seen,
        [
            (
                "g++",
                Direction::Unstated,
                &unpack("/var/cache/apt/archives/g++_4%3a14_amd64.deb")
            ),
            ("plain", Direction::Unstated, &unpack("/tmp/plain.deb")),
        ]
    );
}

#[test]
fn an_empty_stream_has_nothing_to_unpack() {
    let stream = Stream::parse(b"").unwrap();
    assert_eq!((stream.protocol, stream.actions.len()), (Protocol::V1, 0));
}

#[test]
fn names_the_bad_line() {
    let v3 = |line: &str| [b"VERSION 3\nDir=/\n\n", line.as_bytes(), b"\n"].concat();
    let ok = "p 1 amd64 none < 2 amd64 none **CONFIGURE**";
    assert!(Stream::parse(&v3(ok)).is_ok());

    let cases: [(Vec<u8>, usize, Expected); 16] = [
        (b"VERSION 4\n\n".to_vec(), 1, Expected::Header),
        (b"VERSION 3 \n\n".to_vec(), 1, Expected::Header),
        (b"garbage\n".to_vec(), 1, Expected::Header),
        (
            b"/a_1_all.deb\nb_1_all.deb\n".to_vec(),
            2,
            Expected::DebPath,
        ),
        (b"/a_1_all.deb\n/.deb\n".to_vec(), 2, Expected::DebPath),
        (b"VERSION 3\nDir\n\n".to_vec(), 2, Expected::Setting),
        (b"VERSION 3\n=x\n\n".to_vec(), 2, Expected::Setting),
        (b"VERSION 3\nDir=/\n".to_vec(), 3, Expected::EndOfSettings),
        (
            v3("../p 1 amd64 none < 2 amd64 none /p.deb"),
            4,
            Expected::Field("package name"),
        ),
        (v3("p"), 4, Expected::Field("installed version")),
        (
            v3("p 1 am/d64 none < 2 amd64 none /p.deb"),
            4,
            Expected::Field("architecture"),
        ),
        (
            v3("p 1 amd64 some < 2 amd64 none /p.deb"),
            4,
            Expected::Field("multi-arch"),
        ),
        (
            v3("p 1 amd64 none ! 2 amd64 none /p.deb"),
            4,
            Expected::Field("comparison `<`, `=` or `>`"),
        ),
        (
            v3("p 1 amd64 none <  amd64 none /p.deb"),
            4,
            Expected::Field("new version"),
        ),
        (
            v3("p 1 amd64 none < 2 amd64 none p.deb"),
            4,
            Expected::Field("operation or .deb path"),
        ),
        (b"/a_1_all.deb\n/b_1_all.d".to_vec(), 2, Expected::Newline),
    ];
    for (bytes, number, expected) in cases {
        let bad = Stream::parse(&bytes).unwrap_err();
        let shown = String::from_utf8_lossy(&bytes);
        assert_eq!((bad.number, bad.expected), (number, expected), "{shown}");
    }
}

#[test]
fn a_message_says_where_what_and_how_to_go_on() {
    let bad = Stream::parse(b"VERSION 3\n\nlib\xff 1\n").unwrap_err();
    assert_eq!(
        bad.to_string(),
        "line 3 of apt's hook stream is `lib\u{fffd} 1`, not an action with a valid package name; \
         run apt with -o Debug::RunScripts=true and report the line"
    );
    let long = [b"VERSION 3\n\n", vec![b'x'; 1000].as_slice(), b"\n"].concat();
    assert_eq!(Stream::parse(&long).unwrap_err().line.chars().count(), 201);
}

#[test]
fn lenient_keeps_the_good_lines() {
    let bytes = b"VERSION 3\nbad\nDir=/\n\n\np 1 amd64 none > - - none **REMOVE**\nq 1\nr 1 amd64 none > - - none **REMOVE**";
    let (stream, bad) = Stream::parse_lenient(bytes);
    let packages: Vec<_> = stream
        .actions
        .iter()
        .map(|action| action.package.as_str())
        .collect();
    assert_eq!(packages, ["p", "r"]);
    let numbers: Vec<_> = bad.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [2, 5, 7, 8]);
}
