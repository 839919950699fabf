//! What the guest's runner says around a command's output: first `\0rousr-lab start\n`, last
//! `\0rousr-lab exit N\n`.

const FIRST: &[u8] = b"\0rousr-lab start\n";
const LAST: &[u8] = b"\0rousr-lab exit ";

/// Finds both lines in a stream that comes in chunks.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    started: bool,
    /// What may be the beginning of the next line awaited.
    held: Vec<u8>,
}

impl Scanner {
    /// Whether the command was started.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Takes a chunk; what of the output is certain, and the exit status once it is known.
    pub(super) fn scan(&mut self, chunk: &[u8]) -> (Vec<u8>, Option<u8>) {
        self.held.extend_from_slice(chunk);
        if !self.started {
            let first = self
                .held
                .windows(FIRST.len())
                .position(|bytes| bytes == FIRST);
            let Some(at) = first else {
                return (Vec::new(), None);
            };
            self.held.drain(..at + FIRST.len());
            self.started = true;
        }
        let mut from = 0;
        while let Some(zero) = self.held[from..].iter().position(|&byte| byte == 0) {
            let at = from + zero;
            match parse(&self.held[at..]) {
                Line::Complete(status) => {
                    self.held.truncate(at);
                    return (std::mem::take(&mut self.held), Some(status));
                }
                Line::Partial => {
                    let partial = self.held.split_off(at);
                    return (std::mem::replace(&mut self.held, partial), None);
                }
                Line::Other => from = at + 1,
            }
        }
        (std::mem::take(&mut self.held), None)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Complete(u8),
    Partial,
    Other,
}

fn parse(bytes: &[u8]) -> Line {
    let Some(rest) = bytes.strip_prefix(LAST) else {
        return if LAST.starts_with(bytes) {
            Line::Partial
        } else {
            Line::Other
        };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, rest.get(digits)) {
        (0..=3, None) => Line::Partial,
        (1..=3, Some(b'\n')) => {
            let number = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
            number.parse().map_or(Line::Other, Line::Complete)
        }
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_last_line() {
        let cases: [(&[u8], Line); 9] = [
            (b"\0rousr-lab exit 0\n", Line::Complete(0)),
            (b"\0rousr-lab exit 255\nmore", Line::Complete(255)),
            (b"\0rousr-lab exit 256\n", Line::Other),
            (b"\0rousr-lab exit 1234\n", Line::Other),
            (b"\0rousr-lab exit \n", Line::Other),
            (b"\0rousr-lab exit 12", Line::Partial),
            (b"\0rousr", Line::Partial),
            (b"\0", Line::Partial),
            (b"\0else", Line::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        /// However the stream is cut, what comes out is what the command wrote.
        #[test]
        fn cuts_do_not_matter(
            output in proptest::collection::vec(prop_oneof![Just(0), Just(b'r'), any::<u8>()], 0..64),
            status: u8,
            size in 1_usize..40,
        ) {
            let mut stream = FIRST.to_vec();
            stream.extend(&output);
            stream.extend(format!("\0rousr-lab exit {status}\n").bytes());
            let mut scanner = Scanner::default();
            let mut said = Vec::new();
            let mut ended = None;
            for chunk in stream.chunks(size) {
                prop_assert_eq!(ended, None);
                let (bytes, ending) = scanner.scan(chunk);
                said.extend(bytes);
                ended = ending;
            }
            prop_assert!(scanner.started());
            prop_assert_eq!(ended, Some(status));
            prop_assert_eq!(said, output);
        }
    }
}
