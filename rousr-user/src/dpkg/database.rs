//! The files of dpkg's admin directory, as bytes: files lists and diversions, and the merged
//! /usr both may predate.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::hook::MultiArch;

/// The names the files list of one instance of a package may have in `info/`, the likelier first.
///
/// dpkg adds the architecture where the installed version is `Multi-Arch: same`, but a database
/// in the format from before multi-arch never has it.
/// Source: `pkg_infodb_get_file` in dpkg's `lib/dpkg/db-infodb-access.c`.
pub fn list_names(package: &str, architecture: &str, multi_arch: MultiArch) -> [String; 2] {
    let plain = format!("{package}.list");
    let qualified = format!("{package}:{architecture}.list");
    match multi_arch {
        MultiArch::Same => [qualified, plain],
        MultiArch::None | MultiArch::Foreign | MultiArch::Allowed => [plain, qualified],
    }
}

/// Whether `name` is the files list of any instance of `package`: protocols before version 3 do
/// not tell which one is meant.
pub fn is_list_of(name: &[u8], package: &str) -> bool {
    name.strip_prefix(package.as_bytes())
        .and_then(|rest| rest.strip_suffix(b".list"))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
}

/// The paths in a files list: one a line, directories too, any byte but newline.
pub fn files_list(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b'\n')
        .filter(|path| !path.is_empty())
}

/// Files that dpkg stores under another name than the one in the files list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Diversions(HashMap<Vec<u8>, Diversion>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Diversion {
    to: Vec<u8>,
    /// The package whose own file keeps the name; `:` is the administrator, who has none.
    by: Vec<u8>,
}

/// A diversions file whose lines do not come in threes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "dpkg's diversions file ends within an entry after line {lines}: \
     compare it with diversions-old, which dpkg keeps beside it"
)]
pub struct DiversionsCutShort {
    /// How many lines there are.
    pub lines: usize,
}

impl Diversions {
    /// Parses `diversions`: for each one three lines, the contested name, the other name and
    /// the diverting package. Source: `ensure_diversions` in dpkg's `lib/dpkg/db-fsys-divert.c`.
    ///
    /// # Errors
    /// An entry lacks lines.
    pub fn parse(bytes: &[u8]) -> Result<Self, DiversionsCutShort> {
        let lines: Vec<&[u8]> = bytes.strip_suffix(b"\n").map_or_else(Vec::new, |lines| {
            lines.split(|&byte| byte == b'\n').collect()
        });
        let (entries, rest) = lines.as_chunks::<3>();
        if !rest.is_empty() || (lines.is_empty() && !bytes.is_empty()) {
            return Err(DiversionsCutShort { lines: lines.len() });
        }
        let diversion = |[from, to, by]: &[&[u8]; 3]| {
            (
                from.to_vec(),
                Diversion {
                    to: to.to_vec(),
                    by: by.to_vec(),
                },
            )
        };
        Ok(Self(entries.iter().map(diversion).collect()))
    }

    /// Where the file that `package` lists as `path` is stored.
    pub fn stored<'a>(&'a self, path: &'a [u8], package: &str) -> &'a [u8] {
        match self.0.get(path) {
            Some(diversion) if diversion.by != package.as_bytes() => &diversion.to,
            _ => path,
        }
    }
}

/// Symbolic links at the top of the root filesystem, such as `/lib` to `/usr/lib`: files lists
/// name files through them, and what `/lib/...` names is then a file of /usr.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Aliases(Vec<(PathBuf, PathBuf)>);

impl Aliases {
    /// Each pair is an absolute directory and the absolute directory it leads to.
    pub fn new(pairs: impl IntoIterator<Item = (PathBuf, PathBuf)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The path with the alias it begins with resolved.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        let bytes = path.as_os_str().as_bytes();
        let resolve = |(alias, target): &(PathBuf, PathBuf)| {
            // Bytes are compared before components, of which there are many.
            let may_begin = bytes.starts_with(alias.as_os_str().as_bytes());
            let rest = may_begin.then(|| path.strip_prefix(alias).ok())??;
            Some(target.join(rest))
        };
        self.0
            .iter()
            .find_map(resolve)
            .unwrap_or_else(|| path.to_path_buf())
    }
}

/// What turns the names in files lists into paths of one mount.
#[derive(Clone, Debug)]
pub struct View {
    /// Paths elsewhere are of no interest; an absolute path such as `/usr`.
    pub mount: PathBuf,
    /// The links of a merged /usr.
    pub aliases: Aliases,
    /// dpkg's diversions.
    pub diversions: Diversions,
}

impl View {
    /// The paths below the mount where the files in `package`'s files list are stored.
    /// The list has directories as well, and a file may be gone: only its inode tells.
    pub fn stored_files<'a>(
        &'a self,
        list: &'a [u8],
        package: &'a str,
    ) -> impl Iterator<Item = PathBuf> {
        files_list(list)
            .map(move |listed| self.diversions.stored(listed, package))
            .map(|stored| self.aliases.resolve(Path::new(OsStr::from_bytes(stored))))
            .filter(|path| path.starts_with(&self.mount) && *path != self.mount)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_files_lists() {
        let cases = [
            (MultiArch::None, ["bash.list", "bash:amd64.list"]),
            (MultiArch::Foreign, ["bash.list", "bash:amd64.list"]),
            (MultiArch::Allowed, ["bash.list", "bash:amd64.list"]),
            (MultiArch::Same, ["bash:amd64.list", "bash.list"]),
        ];
        for (multi_arch, names) in cases {
            assert_eq!(
                list_names("bash", "amd64", multi_arch),
                names,
                "{multi_arch:?}"
            );
        }
    }

    #[test]
    fn lists_of_any_instance() {
        let cases: [(&[u8], bool); 7] = [
            (b"libc6.list", true),
            (b"libc6:amd64.list", true),
            (b"libc6:i386.list", true),
            (b"libc6-dev.list", false),
            (b"libc6-dev:amd64.list", false),
            (b"libc6:amd64.md5sums", false),
            (b"libc.list", false),
        ];
        for (name, expected) in cases {
            assert_eq!(
                is_list_of(name, "libc6"),
                expected,
                "{}",
                name.escape_ascii()
            );
        }
    }

    #[test]
    fn files_lists_hold_any_byte_but_newline() {
        let list = b"/.\n/usr\n/usr/share/a b\n/usr/share/\xff\r\n/usr/share/last";
        let expected: [&[u8]; 5] = [
            b"/.",
            b"/usr",
            b"/usr/share/a b",
            b"/usr/share/\xff\r",
            b"/usr/share/last",
        ];
        assert_eq!(files_list(list).collect::<Vec<_>>(), expected);
        assert_eq!(files_list(b"").count(), 0);
    }

    #[test]
    fn diversions_apply_to_other_packages() {
        let diversions = Diversions::parse(
            b"/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/perf\n/usr/bin/perf.local\n:\n",
        )
        .unwrap();
        let cases = [
            ("/bin/sh", "bash", "/bin/sh.distrib"),
            ("/bin/sh", "dash", "/bin/sh"),
            ("/usr/bin/perf", "linux-perf", "/usr/bin/perf.local"),
            ("/usr/bin/other", "bash", "/usr/bin/other"),
        ];
        for (path, package, stored) in cases {
            let found = diversions.stored(path.as_bytes(), package);
            assert_eq!(found, stored.as_bytes(), "{path} of {package}");
        }
    }

    #[test]
    fn diversions_come_in_threes() {
        assert_eq!(Diversions::parse(b""), Ok(Diversions::default()));
        let cases: [(&[u8], usize); 3] = [(b"/a\n/b\n", 2), (b"/a\n/b\nc\n/d\n", 4), (b"/a", 0)];
        for (bytes, lines) in cases {
            let found = Diversions::parse(bytes);
            assert_eq!(
                found,
                Err(DiversionsCutShort { lines }),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn only_files_of_the_mount_by_their_stored_names() {
        let alias = |from: &str, to: &str| (PathBuf::from(from), PathBuf::from(to));
        let view = View {
            mount: PathBuf::from("/usr"),
            aliases: Aliases::new([alias("/lib", "/usr/lib"), alias("/bin", "/usr/bin")]),
            diversions: Diversions::parse(b"/bin/sh\n/bin/sh.distrib\ndash\n").unwrap(),
        };
        let list =
            b"/.\n/bin\n/bin/sh\n/etc/x\n/lib/libc.so.6\n/lib64/ld.so\n/usr\n/usr/lib\n/usrlocal\n";
        let expected = [
            "/usr/bin",
            "/usr/bin/sh.distrib",
            "/usr/lib/libc.so.6",
            "/usr/lib",
        ];
        let found: Vec<_> = view.stored_files(list, "bash").collect();
        assert_eq!(found, expected.map(PathBuf::from));
    }

    proptest! {
        #[test]
        fn a_written_list_is_read_back(
            paths in prop::collection::vec(prop::collection::vec(1u8..=255, 1..20), 0..10)
        ) {
            let mut paths: Vec<Vec<u8>> = paths;
            paths.iter_mut().flatten().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            let list: Vec<u8> = paths.iter().flat_map(|path| [path, &b"\n"[..]].concat()).collect();
            prop_assert_eq!(files_list(&list).collect::<Vec<_>>(), paths);
        }

        #[test]
        fn any_diversions_are_survived(bytes in "[a-c/:\n]{0,40}") {
            let parsed = Diversions::parse(bytes.as_bytes());
            let lines = bytes.bytes().filter(|&byte| byte == b'\n').count();
            let whole = bytes.is_empty() || (bytes.ends_with('\n') && lines % 3 == 0);
            prop_assert_eq!(parsed.is_ok(), whole);
        }
    }
}
