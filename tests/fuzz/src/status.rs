//! What dpkg-query tells of packages and their states.

use rousr::dpkg::{
    hook::MultiArch,
    package::{Package, parse_installed},
};

/// For any bytes.
pub fn holds(input: &[u8]) {
    let told = String::from_utf8_lossy(input);
    let packages = parse_installed(&told);
    each_line_is_on_its_own(&told, &packages);
    nothing_is_made_up(&told, &packages);
    what_dpkg_writes_comes_back(&packages);
}

fn each_line_is_on_its_own(told: &str, packages: &[Package]) {
    let lines: Vec<Vec<Package>> = told.lines().map(parse_installed).collect();
    assert!(lines.iter().all(|line| line.len() <= 1));
    assert_eq!(lines.concat(), packages);
}

fn nothing_is_made_up(told: &str, packages: &[Package]) {
    let words: Vec<&str> = told.split_whitespace().collect();
    for Package { name, version } in packages {
        let architecture = version.architecture.as_deref().expect("is asked for");
        let triple = [name.as_str(), &version.version, architecture];
        assert!(words.windows(3).any(|words| words == triple), "{triple:?}");
    }
}

fn what_dpkg_writes_comes_back(packages: &[Package]) {
    for state in ["installed", "half-configured", "config-files"] {
        let lines = packages.iter().map(|Package { name, version }| {
            let architecture = version.architecture.as_deref().unwrap_or_default();
            let multi_arch = match version.multi_arch {
                Some(MultiArch::Same) => "same",
                Some(MultiArch::Foreign) => "foreign",
                Some(MultiArch::Allowed) => "allowed",
                Some(MultiArch::None) | None => "no",
            };
            format!(
                "{state} {name} {} {architecture} {multi_arch}\n",
                version.version
            )
        });
        let expected = match state {
            "config-files" => &[],
            _ => packages,
        };
        assert_eq!(parse_installed(&lines.collect::<String>()), expected);
    }
}
