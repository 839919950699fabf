//! Paths, which are bytes, as text that can be read and turned back.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// `path` as text: as it is, but for `\xNN` in the place of a control character, a backslash or a
/// byte that is not UTF-8.
pub fn escape(path: &Path) -> String {
    if let Some(plain) = path.to_str().filter(|path| is_plain(path)) {
        return plain.to_owned();
    }
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' || character.is_control() {
                let mut buffer = [0; 4];
                escape_bytes(character.encode_utf8(&mut buffer).as_bytes(), &mut text);
            } else {
                text.push(character);
            }
        }
        escape_bytes(chunk.invalid(), &mut text);
    }
    text
}

/// As nearly all are.
fn is_plain(path: &str) -> bool {
    path.bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\')
}

fn escape_bytes(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        write!(text, "\\x{byte:02x}").expect("a String takes all that is written to it");
    }
}

/// The path that [`escape`] made `text` of; `None` if it did not.
pub fn unescape(text: &str) -> Option<PathBuf> {
    let mut pieces = text.split('\\');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.strip_prefix('x')?.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[3..]);
    }
    Some(OsString::from_vec(bytes).into())
}

/// For `#[serde(with = "path")]` on an `Option<PathBuf>`.
pub(crate) mod path {
    use std::path::PathBuf;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde hands over the field")]
    pub(crate) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => serializer.serialize_str(&super::escape(path)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        match super::unescape(&text) {
            Some(path) => Ok(Some(path)),
            None => Err(D::Error::custom(format_args!(
                "{text:?} has a backslash that begins no \\xNN"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_well_where_it_can() {
        let cases: [(&[u8], &str); 5] = [
            (
                b"/usr/lib/x86_64-linux-gnu/libssl.so.3",
                "/usr/lib/x86_64-linux-gnu/libssl.so.3",
            ),
            ("/usr/share/é ü".as_bytes(), "/usr/share/é ü"),
            (b"a\\b", "a\\x5cb"),
            (b"a\tb\x7f", "a\\x09b\\x7f"),
            (b"a\xff\xfeb", "a\\xff\\xfeb"),
        ];
        for (bytes, text) in cases {
            assert_eq!(
                escape(&PathBuf::from(OsString::from_vec(bytes.to_vec()))),
                text
            );
        }
    }

    #[test]
    fn what_was_not_escaped_is_refused() {
        for text in [
            "\\", "\\x", "\\x1", "\\xg1", "\\x+1", "\\n", "a\\\\b", "\\xé",
        ] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_path_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            let text = escape(&path);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(&text), Some(path));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            unescape(&text);
        }
    }
}
