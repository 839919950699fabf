//! What libFuzzer writes to stderr.

use std::path::PathBuf;

use serde::Serialize;

/// Of a run.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Output {
    pub(super) told: Told,
    /// The file of an input that something does not hold for, and what.
    pub(super) finding: Option<(PathBuf, String)>,
}

/// How far it came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// Inputs tried.
    pub(super) executions: u64,
    /// Edges of the program that were passed.
    pub(super) coverage: u64,
    /// The same, told apart by how often in one execution and by what was compared.
    pub(super) features: u64,
    /// Inputs that are kept, each for a feature.
    pub(super) corpus: u64,
}

impl Output {
    pub(super) fn parse(stderr: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stderr);
        let mut output = Self::default();
        for line in text.lines() {
            output.take(line);
        }
        if let Some((_, what)) = &mut output.finding {
            *what = why(&text);
        }
        output
    }

    fn take(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.told.executions = count.trim().parse().unwrap_or_default();
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.finding = Some((path.into(), String::new()));
        }
        // Such as `#1024 pulse  cov: 123 ft: 456 corp: 7/8b lim: 100 exec/s: 1000 rss: 40Mb`.
        if line.starts_with('#') {
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                let figure = match word {
                    "cov:" => &mut self.told.coverage,
                    "ft:" => &mut self.told.features,
                    "corp:" => &mut self.told.corpus,
                    _ => continue,
                };
                let said = words.next().and_then(|said| said.split('/').next());
                *figure = said.and_then(|said| said.parse().ok()).unwrap_or(*figure);
            }
        }
    }
}

/// The panic's message, or libFuzzer's own word where there was none: out of memory, or of time.
fn why(text: &str) -> String {
    let panic = text
        .lines()
        .skip_while(|line| !(line.starts_with("thread '") && line.contains(" panicked at ")));
    let message: Vec<&str> = panic
        .take_while(|line| !line.starts_with("note: ") && !line.starts_with("=="))
        .collect();
    if !message.is_empty() {
        return message.join("\n");
    }
    let error = text
        .lines()
        .find_map(|line| line.split_once("ERROR: libFuzzer: "));
    error.map_or("no reason is told", |(_, why)| why).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_finding() {
        let stderr = b"INFO: seed corpus: files: 4\n\
            #5\tINITED cov: 100 ft: 200 corp: 4/2021b exec/s: 0 rss: 40Mb\n\
            #8\tNEW    cov: 123 ft: 456 corp: 7/8b lim: 4 exec/s: 0 rss: 41Mb L: 3/4 MS: 1 InsertByte-\n\
            #1000\tDONE   cov: 124 ft: 457 corp: 9/80b lim: 4 exec/s: 500 rss: 42Mb\n\
            Done 1000 runs in 2 second(s)\n\
            stat::number_of_executed_units: 1001\n";
        let told = Told {
            executions: 1001,
            coverage: 124,
            features: 457,
            corpus: 9,
        };
        assert_eq!(
            Output::parse(stderr),
            Output {
                told,
                finding: None
            }
        );
    }

    #[test]
    fn a_panic_is_told_with_its_input() {
        let stderr = b"#5\tINITED cov: 100 ft: 200 corp: 4/2021b exec/s: 0 rss: 40Mb\n\n\
            thread '<unnamed>' (7) panicked at tests/fuzz/src/maps.rs:9:5:\n\
            assertion failed: a\n  left: 1\n\
            note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\
            ==7== ERROR: libFuzzer: deadly signal\n\
            artifact_prefix='/t/'; Test unit written to /t/crash-ab\n\
            stat::number_of_executed_units: 17\n";
        let output = Output::parse(stderr);
        let what = "thread '<unnamed>' (7) panicked at tests/fuzz/src/maps.rs:9:5:\nassertion failed: a\n  left: 1";
        assert_eq!(output.finding, Some(("/t/crash-ab".into(), what.into())));
        assert_eq!((output.told.executions, output.told.coverage), (17, 100));
    }

    #[test]
    fn what_is_no_panic_is_told_in_libfuzzers_words() {
        let stderr = b"==7== ERROR: libFuzzer: timeout after 10 seconds\n\
            artifact_prefix='/t/'; Test unit written to /t/timeout-ab\n";
        let (input, what) = Output::parse(stderr).finding.expect("a finding");
        assert_eq!(
            (input, what.as_str()),
            ("/t/timeout-ab".into(), "timeout after 10 seconds")
        );
    }
}
