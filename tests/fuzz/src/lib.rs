//! What has to hold for every input of a parser, one module for each fuzz target.
//!
//! cargo-fuzz looks for an input for which it does not (`cargo xtask fuzz`); the tests here try those
//! that are kept in `corpus`.

pub mod command_line;
pub mod files_lists;
pub mod fstab;
pub mod history;
pub mod hook_stream;
mod json_lines;
pub mod ledger;
pub mod maps;
pub mod mountinfo;
pub mod status;

/// The program of a target: a fuzzer where cargo-fuzz builds it, else one that tries files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$name::holds(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::try_files($crate::$name::holds)
        }
    };
}

use std::path::Path;

/// Tries each file that is named on the command line.
///
/// # Errors
///
/// Where one cannot be read.
///
/// # Panics
///
/// Where something does not hold for one.
pub fn try_files(holds: fn(&[u8])) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        holds(&std::fs::read(&path)?);
        println!("{}: holds", Path::new(&path).display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 9] = [
        ("command_line", crate::command_line::holds),
        ("files_lists", crate::files_lists::holds),
        ("fstab", crate::fstab::holds),
        ("history", crate::history::holds),
        ("hook_stream", crate::hook_stream::holds),
        ("ledger", crate::ledger::holds),
        ("maps", crate::maps::holds),
        ("mountinfo", crate::mountinfo::holds),
        ("status", crate::status::holds),
    ];

    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
        entries.map(|entry| name(entry.expect("read"))).collect()
    }

    #[test]
    fn each_target_holds_for_its_corpus() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let targets = TARGETS.map(|(name, _)| name.to_owned());
        assert_eq!(names(&corpora), BTreeSet::from(targets));
        for (target, holds) in TARGETS {
            let corpus = corpora.join(target);
            for name in names(&corpus) {
                println!("{target}: {name}");
                holds(&fs::read(corpus.join(name)).expect("read"));
            }
            holds(b"");
        }
    }
}
