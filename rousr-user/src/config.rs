//! What the administrator configures: rousr.conf(5).

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};

/// Where it is. No file is as good as an empty one.
pub const PATH: &str = "/etc/rousr/rousr.conf";

/// The settings.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What is wanted of /usr.
    pub usr: Usr,
    /// The longest pause between two windows.
    #[serde(deserialize_with = "duration")]
    pub window_pause: Duration,
}

/// What is wanted of the filesystem that holds /usr.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Usr {
    /// What fstab says, or what was found.
    #[default]
    Auto,
    /// Read-only, whatever fstab says.
    ReadOnly,
    /// Writable: it is never made read-only.
    Writable,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; what it says is not known", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it says nothing that is known.
    #[error("{}:{line}: {message}; correct the line (rousr.conf(5)), none of the file counts until then", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            usr: Usr::Auto,
            window_pause: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    ///
    /// Fails where it is there and cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The settings in `text`, which is the content of the file at `path`.
    ///
    /// # Errors
    ///
    /// Names the first line that is not understood.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, Error> {
        let wrong = |at: usize, message: &str| Error::Line {
            path: path.to_owned(),
            line: 1 + text[..at.min(text.len())]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count(),
            message: message.lines().collect::<Vec<_>>().join(", "),
        };
        let utf8 = str::from_utf8(text).map_err(|error| wrong(error.valid_up_to(), "not UTF-8"))?;
        toml::from_str(utf8).map_err(|error: toml::de::Error| {
            wrong(error.span().map_or(0, |span| span.start), error.message())
        })
    }
}

impl fmt::Display for Usr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::ReadOnly => "read-only",
            Self::Writable => "writable",
        })
    }
}

/// `"250ms"` or `"2s"`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().map(Duration::from_millis),
        None => text
            .strip_suffix('s')
            .unwrap_or_default()
            .parse()
            .map(Duration::from_secs),
    };
    parsed.map_err(|_| {
        de::Error::custom(format!(
            "{text:?} is no duration such as \"250ms\" or \"2s\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &[u8]) -> Result<Config, String> {
        Config::parse(text, Path::new(PATH)).map_err(|error| error.to_string())
    }

    #[test]
    fn says_what_it_says() {
        let cases: [(&[u8], Config); 5] = [
            (b"", Config::default()),
            (b"# nothing\n", Config::default()),
            (b"usr = \"auto\"", Config::default()),
            (
                b"usr = \"writable\" # for now\nwindow-pause = \"0s\"\n",
                Config {
                    usr: Usr::Writable,
                    window_pause: Duration::ZERO,
                },
            ),
            (
                b"window-pause = '250ms'\nusr = 'read-only'\n",
                Config {
                    usr: Usr::ReadOnly,
                    window_pause: Duration::from_millis(250),
                },
            ),
        ];
        for (text, config) in cases {
            assert_eq!(parse(text), Ok(config), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_known_is_told_by_its_line() {
        let cases: [(&[u8], usize, &str); 7] = [
            (b"\nusr = \"readonly\"\n", 2, "read-only"),
            (b"# a\n\nuser = \"auto\"\n", 3, "user"),
            (b"usr = auto\n", 1, ""),
            (b"usr = \"auto\"\nusr = \"auto\"\n", 2, "duplicate"),
            (b"usr = \"auto\"\nwindow-pause = 2\n", 2, "string"),
            (b"usr = \"auto\"\nwindow-pause = \"2\"\n", 2, "250ms"),
            (b"usr = \"auto\"\n\xff\n", 2, "UTF-8"),
        ];
        for (text, line, part) in cases {
            let error = parse(text).expect_err("is wrong");
            let begin = format!("{PATH}:{line}: ");
            assert!(error.starts_with(&begin) && error.contains(part), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn no_file_says_nothing_and_one_that_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let absent = directory.path().join("rousr.conf");
        assert_eq!(Config::load(&absent).expect("nothing"), Config::default());
        let error = Config::load(directory.path()).expect_err("a directory");
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Config::parse(&text, Path::new(PATH));
        }
    }
}
