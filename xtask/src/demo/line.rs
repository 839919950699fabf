//! What an act's script tells the host, line by line.

const MARK: &str = "demo:";

/// A line of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// What the act does now.
    Note(String),
    /// Something that has to hold.
    Claim { holds: bool, text: String },
    /// Something that happened, milliseconds after the act began.
    Event { at_ms: u64, text: String },
    /// Part of the story as a program in the guest put it.
    Text(String),
    /// Output that is of interest only where the act fails.
    Log(String),
}

impl Line {
    pub(super) fn parse(line: &str) -> Self {
        line.strip_prefix(MARK)
            .and_then(marked)
            .unwrap_or_else(|| Self::Log(line.into()))
    }
}

fn marked(line: &str) -> Option<Line> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "note" => Some(Line::Note(rest.into())),
        "text" => Some(Line::Text(rest.into())),
        "claim" => {
            let (verdict, text) = rest.split_once(' ')?;
            let holds = match verdict {
                "ok" => true,
                "failed" => false,
                _ => return None,
            };
            let text = text.into();
            Some(Line::Claim { holds, text })
        }
        "event" => {
            let (at, text) = rest.split_once(' ')?;
            let at_ms = at.parse().ok()?;
            let text = text.into();
            Some(Line::Event { at_ms, text })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_their_mark_says() {
        let claim = |holds, text: &str| Line::Claim {
            holds,
            text: text.into(),
        };
        let log = |line: &str| Line::Log(line.into());
        let cases = [
            ("demo:note a b", Line::Note("a b".into())),
            ("demo:text   a", Line::Text("  a".into())),
            ("demo:text", Line::Text(String::new())),
            ("demo:claim ok a b", claim(true, "a b")),
            ("demo:claim failed a", claim(false, "a")),
            ("demo:claim maybe a", log("demo:claim maybe a")),
            (
                "demo:event 12 a b",
                Line::Event {
                    at_ms: 12,
                    text: "a b".into(),
                },
            ),
            ("demo:event -1 a", log("demo:event -1 a")),
            ("demo:else a", log("demo:else a")),
            ("note a", log("note a")),
        ];
        for (line, expected) in cases {
            assert_eq!(Line::parse(line), expected, "{line}");
        }
    }
}
