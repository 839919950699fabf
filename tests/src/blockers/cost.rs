//! What a look costs among many processes.

use std::path::Path;

use anyhow::ensure;
use rousr_figures::attribution::Row;

use super::peers::{FUSER, LSOF, NEEDRESTART};
use crate::attribution::{
    crowd::Crowd,
    measured::{RUNS, Sample, output, row, silently, slow},
    walk::Walk,
};

/// The number of processes, and the rows: the bare pass and rousr in turn, then the others once each.
pub(super) fn measure(floor: &Path) -> anyhow::Result<(usize, Vec<Row>)> {
    let mut walk = Walk::load(floor)?;
    let _crowd = Crowd::start()?;
    let mut bare = Vec::new();
    let mut json = Vec::new();
    let mut text = Vec::new();
    for _ in 0..RUNS {
        bare.push(Sample::of(|| walk.run())?);
        json.push(Sample::of(|| output("rousr", &["blockers", "--json"]))?);
        text.push(Sample::of(|| silently("rousr", &["blockers"]))?);
    }
    let mut rows = vec![
        row("bare pass of both iterators", bare),
        row("rousr blockers --json", json),
        row("rousr blockers", text),
    ];
    for line in [LSOF, FUSER, NEEDRESTART] {
        rows.push(row(line, slow(line)?));
    }
    let processes = processes()?;
    ensure!(
        processes > crate::attribution::crowd::PROCESSES,
        "the crowd is gone"
    );
    Ok((processes, rows))
}

fn processes() -> std::io::Result<usize> {
    let entries = std::fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(entries
        .filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        })
        .count())
}
