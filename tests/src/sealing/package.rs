//! The package in all its versions.

use std::{env, fs};

use anyhow::Context as _;

use crate::package::{FOLDER, Packed, build_with};

/// What is installed first.
pub(super) const OLD: &str = "1";
/// The same files, new.
pub(super) const NEW: &str = "2";
/// Without one of the directories.
pub(super) const DROPS: &str = "2+drops";
/// A service of it opens a file of /usr for writing.
pub(super) const WRITES: &str = "2+writes";
/// It kills apt.
pub(super) const KILLS: &str = "2+kills";
/// Its script fails.
pub(super) const FAILS: &str = "2+fails";
/// It stays in its script, until the power goes.
pub(super) const CUT: &str = "2+cut";

/// Makes all of them; `hold` is the program that holds.
pub(super) fn build_all(hold: &str) -> anyhow::Result<()> {
    let program = env::current_exe().context("where am I?")?;
    let program = fs::read(program).context("cannot read my own program")?;
    let writes = format!(
        "systemd-run -q --collect --unit rousr-writes {hold} writer {FOLDER}/data writes; \
         until [ -s /run/rousr-plants/writes ]; do sleep 0.1; done"
    );
    for (version, postinst) in [
        (OLD, ""),
        (NEW, ""),
        (DROPS, ""),
        (WRITES, writes.as_str()),
        (KILLS, "pkill -KILL -x apt-get || true"),
        (FAILS, "exit 1"),
        (CUT, "touch /run/rousr-unpacked; sleep 1000"),
    ] {
        build_with(version, &files(version, &program), postinst);
    }
    Ok(())
}

fn files(version: &str, program: &[u8]) -> Vec<Packed> {
    let file = |name: &str, content: Vec<u8>, mode| Packed {
        name: name.to_owned(),
        content,
        mode,
    };
    // A loader does not mind what follows a program.
    let tool = [program, version.as_bytes()].concat();
    let mut files = vec![
        file("data", version.as_bytes().repeat(5000), 0o644),
        file("tool", tool, 0o755),
    ];
    if version != DROPS {
        files.push(file("dropped/note", version.into(), 0o644));
    }
    files
}
