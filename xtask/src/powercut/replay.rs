//! The disks as a power cut leaves them.
//!
//! What was written before the last flush is there. Of what was written after it each request is there or
//! is not, at random: a disk may write in any order. A request is never there in part.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::log::{self, Entry};
use crate::guest::disk::{self, LOG, NAMES};

/// All requests of a recording.
#[derive(Debug)]
pub(super) struct Recording {
    log: File,
    entries: Vec<Entry>,
    /// Where the head of each begins in the log.
    heads: Vec<u64>,
}

/// A moment: after so many requests.
pub(super) type Moment = usize;

/// What a cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Requests since the last flush.
    pub(super) unflushed: usize,
    /// How many of them were lost.
    pub(super) lost: usize,
}

impl Recording {
    /// Reads the log in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(LOG);
        let log = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut head = [0; 32];
        log.read_exact_at(&mut head, 0).context("an empty log")?;
        let sector = log::sector(&head)?;
        let (mut entries, mut heads) = (Vec::new(), Vec::new());
        let mut at = sector;
        loop {
            let length = log.read_at(&mut head, at)?;
            let Some((entry, next)) = log::entry(&head[..length], at, sector)? else {
                break;
            };
            // The last one may be half written: the guest was ended.
            if next > log.metadata()?.len() {
                break;
            }
            entries.push(Entry {
                is_fua: entry.is_fua || is_journals(&log, &entry)?,
                ..entry
            });
            heads.push(at);
            at = next;
        }
        ensure!(!entries.is_empty(), "{} has no entry", path.display());
        Ok(Self {
            log,
            entries,
            heads,
        })
    }

    /// The moment when the log was so long.
    pub(super) fn moment(&self, length: u64) -> Moment {
        self.heads.partition_point(|&head| head < length)
    }

    /// How many requests there are, and how many of them are flushes.
    pub(super) fn count(&self) -> (usize, usize) {
        let flushes = self.entries.iter().filter(|entry| entry.is_flush).count();
        (self.entries.len(), flushes)
    }

    /// Makes the disks in `into` what a cut at `moment` leaves of those in `from`. `is_lost` decides on
    /// each request that was not flushed.
    pub(super) fn cut(
        &self,
        from: &Path,
        into: &Path,
        moment: Moment,
        mut is_lost: impl FnMut() -> bool,
    ) -> Result<Cut> {
        let mut disks = Vec::new();
        let mut start = 0;
        for name in NAMES {
            let image = disk::file(into, name);
            disk::copy(&disk::file(from, name), &image)?;
            let file = OpenOptions::new().write(true).open(&image)?;
            let length = file.metadata()?.len();
            disks.push((start, file));
            start += length;
        }
        let past = &self.entries[..moment];
        let flushed = past.iter().rposition(|entry| entry.is_flush).unwrap_or(0);
        let mut cut = Cut::default();
        for (number, entry) in past.iter().enumerate() {
            if entry.length == 0 {
                continue;
            }
            if number >= flushed && !entry.is_fua {
                cut.unflushed += 1;
                if is_lost() {
                    cut.lost += 1;
                    continue;
                }
            }
            self.apply(entry, &disks)?;
        }
        Ok(cut)
    }

    fn apply(&self, entry: &Entry, disks: &[(u64, File)]) -> Result<()> {
        let mut data = vec![0; usize::try_from(entry.length)?];
        self.log.read_exact_at(&mut data, entry.data)?;
        let disk = disks.iter().rev().find(|(start, _)| *start <= entry.at);
        let (start, file) = disk.context("a request before the first disk")?;
        file.write_all_at(&data, entry.at - start)?;
        Ok(())
    }
}

/// Whether ext4 writes such a block with FUA, of which QEMU's NVMe controller takes no note: the end of a
/// transaction in the journal, and the journal's superblock (`jbd2_journal_commit_transaction` in
/// fs/jbd2/commit.c, `jbd2_write_superblock` in fs/jbd2/journal.c).
fn is_journals(log: &File, entry: &Entry) -> Result<bool> {
    const MAGIC: u32 = 0xc03b_3998;
    const COMMIT: u32 = 2;
    const SUPERBLOCKS: [u32; 2] = [3, 4];
    if entry.length == 0 {
        return Ok(false);
    }
    // ext4's own superblock, at byte 1024 of the first block (`ext4_commit_super` in fs/ext4/super.c).
    const IN_BLOCK: u64 = 1024 + 56;
    if entry.length > IN_BLOCK {
        let mut magic = [0; 2];
        log.read_exact_at(&mut magic, entry.data + IN_BLOCK)?;
        if magic == [0x53, 0xef] {
            return Ok(true);
        }
    }
    let mut head = [0; 8];
    log.read_exact_at(&mut head, entry.data)?;
    let word = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        u32::from_be_bytes(bytes)
    };
    Ok(word(0) == MAGIC && (word(4) == COMMIT || SUPERBLOCKS.contains(&word(4))))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SECTOR: usize = 512;

    /// A log of writes (where, with what all its bytes are) and flushes, in this order.
    fn log(requests: &[Option<(u64, u8)>]) -> Vec<u8> {
        let sector = |words: [u64; 4]| {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.resize(SECTOR, 0);
            bytes
        };
        let count = requests.len() as u64;
        let mut log = sector([0x006a_7366_7773_6872, 1, count, SECTOR as u64]);
        for request in requests {
            match request {
                Some((at, byte)) => {
                    log.extend(sector([*at, 1, 0, SECTOR as u64]));
                    log.extend([*byte; SECTOR]);
                }
                None => log.extend(sector([0, 0, 1, 0])),
            }
        }
        log
    }

    #[test]
    fn only_what_was_not_flushed_may_be_lost() {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let [before, after] = folders.each_ref().map(|folder| folder.path());
        for name in NAMES {
            fs::write(disk::file(before, name), [0; 4 * SECTOR]).expect("written");
        }
        let requests = [
            Some((0, 1)),
            Some((5, 2)),
            None,
            Some((1, 3)),
            Some((5, 4)),
            Some((7, 5)),
        ];
        fs::write(before.join(LOG), log(&requests)).expect("written");
        let recording = Recording::open(before).expect("a recording");
        assert_eq!(recording.count(), (6, 1));

        // Each sector of both disks by its first byte.
        let cut = |moment, lost: &[bool]| {
            let mut lost = lost.iter().copied();
            let cut = recording.cut(before, after, moment, || lost.next().expect("asked"));
            let bytes = NAMES.map(|name| {
                let bytes = fs::read(disk::file(after, name)).expect("read");
                [0, 1, 2, 3].map(|sector| bytes[sector * SECTOR])
            });
            (bytes, cut.expect("cuts"))
        };
        let outcome = |unflushed, lost| Cut { unflushed, lost };
        assert_eq!(cut(0, &[]), ([[0; 4], [0; 4]], outcome(0, 0)));
        let none_flushed = cut(2, &[true, false]);
        assert_eq!(none_flushed, ([[0; 4], [0, 2, 0, 0]], outcome(2, 1)));
        assert_eq!(cut(3, &[]), ([[1, 0, 0, 0], [0, 2, 0, 0]], outcome(0, 0)));
        let all = cut(6, &[false, true, false]);
        assert_eq!(all, ([[1, 3, 0, 0], [0, 2, 0, 5]], outcome(3, 1)));
    }
}
