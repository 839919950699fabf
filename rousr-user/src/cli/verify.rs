//! `rousr verify`.

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;

use super::output;
use crate::agent::{
    client::Client,
    names::visible,
    verification::{Compared, Verification},
};

/// Compare the number of holders that rousr counts with the kernel's own counters
///
/// Asks the agent to look at every held file. A count has to be at least what tasks reach by
/// descriptors and mappings, and at most what the kernel's i_readcount and i_writecount say.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 all counts are right, 1 a count is wrong or cannot be told."
)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let verification = Client::default().verify()?;
    output::show(arguments.json, &verification, || text(&verification))?;
    Ok(output::exit(verification.differences.is_empty()))
}

fn text(verification: &Verification) -> String {
    if verification.inodes.is_empty() {
        return "nothing is watched: nothing is held, or /usr is open; see `rousr status`\n"
            .to_owned();
    }
    let mut text = format!(
        "{:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}  PATH\n",
        "INODE", "COUNTED", "KERNEL", "VISIBLE", "DARK", "O_PATH", "PINS"
    );
    for compared in &verification.inodes {
        let wrong = verification.differences.contains(compared);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", line(compared, wrong));
    }
    let _ = match verification.differences.len() {
        0 => writeln!(
            text,
            "{} held, all counts are right",
            verification.inodes.len()
        ),
        wrong => writeln!(
            text,
            "{wrong} of {} counts are wrong; please report it with the output of `rousr verify --json` and `rousr doctor`",
            verification.inodes.len()
        ),
    };
    text
}

fn line(compared: &Compared, wrong: bool) -> String {
    let path = visible(compared.path.as_deref().unwrap_or("?"));
    let note = match (wrong, compared.uncounted) {
        (true, _) => "  (wrong)".to_owned(),
        (false, 0) => String::new(),
        (false, uncounted) => format!("  ({uncounted} from before the start)"),
    };
    format!(
        "{:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}  {path}{note}",
        compared.inode,
        compared.counted,
        compared.kernel,
        compared.visible,
        compared.dark,
        compared.paths,
        compared.pins
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_what_is_wrong_and_what_is_from_before() {
        let right = Compared {
            inode: 1,
            path: Some("/usr/lib/a".to_owned()),
            counted: 1,
            kernel: 2,
            visible: 1,
            dark: 1,
            uncounted: 1,
            paths: 0,
            pins: 0,
        };
        let wrong = Compared {
            inode: 2,
            path: None,
            counted: 9,
            ..right.clone()
        };
        let all_right = text(&Verification {
            inodes: vec![right.clone()],
            differences: Vec::new(),
        });
        assert!(all_right.contains("1 from before the start"), "{all_right}");
        assert!(
            all_right.ends_with("1 held, all counts are right\n"),
            "{all_right}"
        );
        let one_wrong = text(&Verification {
            inodes: vec![right, wrong.clone()],
            differences: vec![wrong],
        });
        assert!(one_wrong.contains("?  (wrong)"), "{one_wrong}");
        assert!(one_wrong.contains("1 of 2 counts are wrong"), "{one_wrong}");
    }
}
