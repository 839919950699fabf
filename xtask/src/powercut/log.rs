//! The log of a disk's writes and flushes, in dm-log-writes' format, which QEMU's blklogwrites writes.
//!
//! <https://docs.kernel.org/admin-guide/device-mapper/log-writes.html>,
//! <https://gitlab.com/qemu-project/qemu/-/blob/v7.2.0/block/blklogwrites.c>

use anyhow::{Context as _, Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;

/// Flags of an entry.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where on the disk it goes, bytes.
    pub(super) at: u64,
    /// Where in the log its data is, bytes.
    pub(super) data: u64,
    /// How long that is, bytes; 0 for a flush alone.
    pub(super) length: u64,
    /// Everything before it is on the disk's medium.
    pub(super) is_flush: bool,
    /// It was not done before its own data was on the medium.
    pub(super) is_fua: bool,
}

/// Reads the head of a log: the size of its sectors in bytes.
pub(super) fn sector(head: &[u8]) -> Result<u64> {
    let word = |at: usize| number(head, at);
    ensure!(word(0)? == MAGIC, "the log does not begin as one");
    ensure!(word(8)? == 1, "the log is of version {}", word(8)?);
    let size = head.get(24..28).context("the log has no head")?;
    let size = u64::from(u32::from_le_bytes(size.try_into()?));
    ensure!(size.is_power_of_two(), "sectors of {size} bytes");
    Ok(size)
}

/// The entry whose head is at byte `from` of the log, and where the next one's is; none at the end.
///
/// Entries for space that is given back have a length and no data; they count as flushes of nothing.
pub(super) fn entry(head: &[u8], from: u64, sector: u64) -> Result<Option<(Entry, u64)>> {
    if head.len() < 32 {
        return Ok(None);
    }
    let word = |at: usize| number(head, at);
    let (at, sectors, flags) = (word(0)?, word(8)?, word(16)?);
    if at == 0 && sectors == 0 && flags == 0 {
        return Ok(None);
    }
    let has_data = flags & DISCARD == 0;
    let length = if has_data { sectors * sector } else { 0 };
    let entry = Entry {
        at: at * sector,
        data: from + sector,
        length,
        is_flush: flags & FLUSH != 0,
        is_fua: flags & FUA != 0,
    };
    Ok(Some((entry, from + sector + length)))
}

fn number(head: &[u8], at: usize) -> Result<u64> {
    let bytes = head.get(at..at + 8).context("the log is cut short")?;
    Ok(u64::from_le_bytes(bytes.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(words: [u64; 4]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn reads_heads() {
        assert_eq!(sector(&head([MAGIC, 1, 9, 512])).expect("a head"), 512);
        for bad in [[0, 1, 9, 512], [MAGIC, 2, 9, 512], [MAGIC, 1, 9, 0]] {
            assert!(sector(&head(bad)).is_err(), "{bad:?}");
        }
        assert!(sector(b"short").is_err());
    }

    #[test]
    fn reads_entries_one_after_the_other() {
        let write = |flags| Entry {
            at: 4096,
            data: 1536,
            length: 1024,
            is_flush: flags & FLUSH != 0,
            is_fua: flags & FUA != 0,
        };
        for flags in [0, FLUSH, FUA, FLUSH | FUA] {
            let found = entry(&head([8, 2, flags, 1024]), 1024, 512).expect("reads");
            assert_eq!(found, Some((write(flags), 2560)));
        }
        let flush = entry(&head([0, 0, FLUSH, 0]), 512, 512).expect("reads");
        assert_eq!(
            flush.map(|(entry, next)| (entry.length, next)),
            Some((0, 1024))
        );
        let discard = entry(&head([8, 2, DISCARD, 0]), 512, 512).expect("reads");
        assert_eq!(
            discard.map(|(entry, next)| (entry.length, next)),
            Some((0, 1024))
        );
        assert_eq!(entry(&head([0; 4]), 512, 512).expect("reads"), None);
        assert_eq!(entry(b"", 512, 512).expect("reads"), None);
    }
}
