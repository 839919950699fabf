//! What dpkg was told on its command line.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

/// A dpkg's arguments, as far as they tell which packages change.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandLine {
    /// What comes after the options: archives or packages.
    pub operands: Vec<OsString>,
    /// Whether archives are looked for in the operands, which are directories then.
    pub is_recursive: bool,
    /// Whether it works on another system than this one.
    pub is_elsewhere: bool,
    /// Whether it only tells what it would do.
    pub is_simulated: bool,
}

/// Options whose value may be the next word, dpkg(1); `takesvalue` in src/main/main.c.
const WITH_VALUE: [&[u8]; 15] = [
    b"--abort-after",
    b"--admindir",
    b"--debug",
    b"--ignore-depends",
    b"--instdir",
    b"--log",
    b"--path-exclude",
    b"--path-include",
    b"--post-invoke",
    b"--pre-invoke",
    b"--root",
    b"--status-fd",
    b"--status-logger",
    b"--verify-format",
    b"-D",
];

/// Of these, those that tell of another place for files.
const PLACES: [&[u8]; 2] = [b"--instdir", b"--root"];

const SIMULATIONS: [&[u8]; 3] = [b"--dry-run", b"--no-act", b"--simulate"];

impl CommandLine {
    /// Reads the content of /proc/PID/cmdline: words that each end with a zero, the program's name first.
    /// Options end with the first word that is none, or with `--` (`dpkg_options_parse`, lib/dpkg/options.c).
    pub fn parse(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        let mut words = bytes.split(|&byte| byte == 0).skip(1);
        let mut line = Self::default();
        while let Some(word) = words.next() {
            match word {
                b"--" => break,
                [b'-', _, ..] => line.add_option(word, &mut words),
                operand => {
                    line.operands.push(owned(operand));
                    break;
                }
            }
        }
        line.operands.extend(words.map(owned));
        line
    }

    fn add_option<'w>(&mut self, word: &[u8], words: &mut impl Iterator<Item = &'w [u8]>) {
        let mut parts = word.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap_or_default();
        let mut value = parts.next();
        if value.is_none() && WITH_VALUE.contains(&name) {
            value = words.next();
        }
        if PLACES.contains(&name) {
            self.is_elsewhere |= value.is_some_and(|value| value != b"/");
        }
        self.is_simulated |= SIMULATIONS.contains(&name);
        let is_short = name.first() == Some(&b'-') && name.get(1) != Some(&b'-');
        self.is_recursive |= name == b"--recursive" || is_short && name.contains(&b'R');
    }
}

fn owned(word: &[u8]) -> OsString {
    OsString::from_vec(word.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(words: &[&str]) -> CommandLine {
        let line: String = words.iter().map(|word| format!("{word}\0")).collect();
        CommandLine::parse(line.as_bytes())
    }

    #[test]
    fn operands_are_told_from_options() {
        for (words, operands) in [
            (
                &["dpkg", "-i", "a.deb", "b c.deb"][..],
                &["a.deb", "b c.deb"][..],
            ),
            (&["dpkg", "--log", "/l", "-r", "a:i386"], &["a:i386"]),
            (&["dpkg", "--log=/l", "-P", "--", "-a"], &["-a"]),
            (
                &["dpkg", "--force-all", "-D", "7", "-iO", "a.deb"],
                &["a.deb"],
            ),
            (&["dpkg", "--configure", "-a"], &[]),
            (&["dpkg", "--debug", "7", "-r", "a"], &["a"]),
            (
                &["dpkg", "-i", "a.deb", "--root=/x"],
                &["a.deb", "--root=/x"],
            ),
            (&["dpkg", "--admindir=/x", "-i", "-"], &["-"]),
            (&["dpkg", "--pre-invoke", "x y", "-i", "a.deb"], &["a.deb"]),
        ] {
            let line = parse(words);
            assert_eq!(line.operands, operands, "{words:?}");
            assert!(!line.is_elsewhere && !line.is_recursive, "{words:?}");
        }
    }

    #[test]
    fn another_system_is_elsewhere() {
        for (word, elsewhere) in [
            ("--root=/mnt", true),
            ("--instdir=/mnt", true),
            ("--root=/", false),
            ("--admindir=/mnt/var/lib/dpkg", false),
        ] {
            assert_eq!(
                parse(&["dpkg", word, "-i", "a.deb"]).is_elsewhere,
                elsewhere
            );
            let apart: Vec<&str> = word.split('=').collect();
            let line = parse(&["dpkg", apart[0], apart[1], "-i", "a.deb"]);
            assert_eq!((line.is_elsewhere, line.operands.len()), (elsewhere, 1));
        }
    }

    #[test]
    fn a_simulation_is_one() {
        for word in ["--dry-run", "--no-act", "--simulate"] {
            assert!(parse(&["dpkg", word, "-i", "a.deb"]).is_simulated);
        }
        assert!(!parse(&["dpkg", "-i", "--", "--dry-run"]).is_simulated);
    }

    #[test]
    fn directories_are_searched_where_it_says_so() {
        for words in [["dpkg", "-iR", "d"], ["dpkg", "-i", "--recursive"]] {
            assert!(parse(&words).is_recursive, "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn what_follows_two_dashes_is_an_operand(words in proptest::collection::vec("[^\0]{0,8}", 0..6)) {
            let mut line = b"dpkg\0-i\0--\0".to_vec();
            for word in &words {
                line.extend(word.as_bytes());
                line.push(0);
            }
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            prop_assert_eq!(CommandLine::parse(&line).operands, words);
        }
    }
}
