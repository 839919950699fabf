//! dpkg's files lists and diversions, and the paths of one mount that they amount to.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rousr::dpkg::{
    database::{Aliases, Diversions, View, files_list, is_list_of, list_names},
    hook::MultiArch,
};

/// For any bytes: a package's name, its files list and the diversions, a zero between them.
pub fn holds(input: &[u8]) {
    let mut parts = input.splitn(3, |&byte| byte == 0);
    let [package, list, diversions] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let package = String::from_utf8_lossy(package);
    names_are_found_again(&package);
    a_list_is_its_lines(list);
    let lines: Vec<&[u8]> = diversions.split_inclusive(|&byte| byte == b'\n').collect();
    let is_whole =
        lines.len().is_multiple_of(3) && diversions.last().is_none_or(|&last| last == b'\n');
    match Diversions::parse(diversions) {
        Ok(parsed) => {
            assert!(is_whole);
            each_name_is_stored_where_the_last_says(&parsed, &lines, &package);
            paths_are_of_the_mount(list, &package, parsed);
        }
        Err(_) => assert!(!is_whole),
    }
}

fn names_are_found_again(package: &str) {
    for multi_arch in [
        MultiArch::None,
        MultiArch::Same,
        MultiArch::Foreign,
        MultiArch::Allowed,
    ] {
        for name in list_names(package, "amd64", multi_arch) {
            assert!(is_list_of(name.as_bytes(), package), "{name} of {package}");
            assert!(!is_list_of(name.as_bytes(), &format!("{package}-dev")));
        }
    }
}

fn a_list_is_its_lines(list: &[u8]) {
    let paths: Vec<&[u8]> = files_list(list).collect();
    assert!(
        paths
            .iter()
            .all(|path| !path.is_empty() && !path.contains(&b'\n'))
    );
    let written = paths.join(&b'\n');
    assert!(written.len() <= list.len());
    assert!(files_list(&written).eq(paths));
}

fn each_name_is_stored_where_the_last_says(
    diversions: &Diversions,
    lines: &[&[u8]],
    package: &str,
) {
    let lines: Vec<&[u8]> = lines.iter().map(|line| &line[..line.len() - 1]).collect();
    let (entries, _) = lines.as_chunks::<3>();
    for &[from, _, _] in entries {
        let said = entries.iter().rfind(|[contested, _, _]| *contested == from);
        let expected = match said {
            Some([_, to, by]) if *by != package.as_bytes() => to,
            _ => from,
        };
        assert_eq!(diversions.stored(from, package), expected);
    }
    assert_eq!(diversions.stored(b"no\nname", package), b"no\nname");
}

fn paths_are_of_the_mount(list: &[u8], package: &str, diversions: Diversions) {
    let mount = Path::new("/usr");
    let alias = |name: &str| (Path::new("/").join(name), mount.join(name));
    let view = View {
        mount: mount.into(),
        aliases: Aliases::new(["bin", "lib", "lib64", "sbin"].map(alias)),
        diversions,
    };
    let found: Vec<PathBuf> = view.stored_files(list, package).collect();
    let stored = || files_list(list).map(|path| view.diversions.stored(path, package));
    let limit: usize = stored().map(|path| path.len() + "/usr/".len()).sum();
    assert!(
        found
            .iter()
            .map(|path| path.as_os_str().len())
            .sum::<usize>()
            <= limit
    );
    for path in &found {
        assert!(path.starts_with(mount) && path != mount, "{path:?}");
        assert!(!path.as_os_str().as_bytes().contains(&b'\n'));
    }
    // What names a file of the mount by itself comes through unchanged, and in its order.
    let plain = stored().map(|path| Path::new(OsStr::from_bytes(path)));
    let mut rest = found.iter();
    for path in plain.filter(|path| path.starts_with(mount) && *path != mount) {
        assert!(rest.any(|found| found == path), "{path:?} of {found:?}");
    }
}
