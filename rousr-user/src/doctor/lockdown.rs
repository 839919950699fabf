//! How far the kernel keeps even root from changing and reading it.

/// A lockdown's extent (`enum lockdown_reason`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lockdown {
    None,
    /// Nobody changes the kernel.
    Integrity,
    /// Nobody reads its memory either, BPF helpers included.
    Confidentiality,
}

/// The one in brackets of /sys/kernel/security/lockdown, such as
/// `none [integrity] confidentiality`.
pub(super) fn parse(text: &[u8]) -> Option<Lockdown> {
    let chosen = text
        .split(u8::is_ascii_whitespace)
        .find_map(|word| word.strip_prefix(b"[")?.strip_suffix(b"]"))?;
    match chosen {
        b"none" => Some(Lockdown::None),
        b"integrity" => Some(Lockdown::Integrity),
        b"confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_in_brackets_is_chosen() {
        let cases: [(&[u8], _); 6] = [
            (b"[none] integrity confidentiality\n", Some(Lockdown::None)),
            (
                b"none [integrity] confidentiality\n",
                Some(Lockdown::Integrity),
            ),
            (
                b"none integrity [confidentiality]\n",
                Some(Lockdown::Confidentiality),
            ),
            (b"none integrity confidentiality\n", None),
            (b"[severe]\n", None),
            (b"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{}", text.escape_ascii());
        }
    }
}
