//! The ledger, read without rousr.

use std::{collections::BTreeSet, fs, io};

use anyhow::{Context as _, Result};
use serde_json::Value;

const LEDGER: &str = "/var/lib/rousr/ledger";

/// The inodes of the holds that it knows.
pub(crate) fn known() -> Result<BTreeSet<u64>> {
    let text = match fs::read_to_string(LEDGER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.context(LEDGER)?,
    };
    read(&text)
}

fn read(text: &str) -> Result<BTreeSet<u64>> {
    let mut known = BTreeSet::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let inode = record["inode"].as_u64().with_context(|| line.to_owned())?;
        match record["event"] == "preserved" {
            true => known.insert(inode),
            false => known.remove(&inode),
        };
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_an_inode_counts() {
        let text = r#"{"event":"preserved","inode":7}
{"event":"preserved","inode":8,"path":"/usr/a"}
{"event":"dropped","inode":7}
"#;
        assert_eq!(read(text).expect("reads"), [8].into());
        assert!(read("{").is_err());
    }
}
