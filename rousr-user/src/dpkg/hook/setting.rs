//! One line of apt's configuration.

/// A value of apt's configuration; a list is several settings whose keys end in `::`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The full name, such as `Dir::State` or `DPkg::Pre-Invoke::`.
    pub key: Vec<u8>,
    /// Never empty as apt writes it.
    pub value: Vec<u8>,
}

impl Setting {
    /// Parses `key=value`. apt encodes `=` and white space within a key, so the first `=` ends it.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let equals = line.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (&line[..equals], &line[equals + 1..]);
        if key.is_empty() || key.contains(&b' ') {
            return None;
        }
        Some(Self {
            key: decode(key),
            value: decode(value),
        })
    }
}

/// Undoes apt's `QuoteString`; like apt's `DeQuoteString` it leaves a `%` that is not followed
/// by two hexadecimal digits as it is.
fn decode(quoted: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((&first, after)) = rest.split_first() {
        let byte = match after {
            [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match byte {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
