//! One pass of a BPF iterator over all tasks.

use std::{
    fs::File,
    io::{self, Read as _},
};

use aya::programs::{Iter, ProgramError};
use rousr_ebpf::Seen;
use zerocopy::FromBytes as _;

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error("cannot attach the iterator: {0}")]
    Attach(#[from] ProgramError),
    #[error("cannot open the iterator: {0}")]
    Open(#[from] aya::programs::links::LinkError),
    #[error("cannot read the iterator: {0}")]
    Read(#[from] std::io::Error),
}

/// Visits every task once and returns what the program wrote.
pub(super) fn run(program: &mut Iter) -> Result<Vec<u8>, PassError> {
    Ok(read(&open(program)?)?)
}

/// Prepares a pass, which reading the file runs; in any thread, once.
pub(super) fn open(program: &mut Iter) -> Result<File, PassError> {
    let link = program.attach()?;
    Ok(program.take_link(link)?.into_file()?)
}

/// Runs a pass to its end.
pub(super) fn read(mut iterator: &File) -> io::Result<Vec<u8>> {
    /// The kernel gathers 32 KiB, and begins anew for each read.
    const CHUNK: usize = 64 << 10;
    let mut output = Vec::new();
    let mut filled = 0;
    loop {
        output.resize(filled + CHUNK, 0);
        match iterator.read(&mut output[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            // A million visits that wrote nothing: the kernel wants to be asked again.
            // Source: `bpf_seq_read` in kernel/bpf/bpf_iter.c.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.truncate(filled);
    Ok(output)
}

/// The records that the counting iterators write; a torn last one, which the kernel does not
/// write, is dropped.
pub(super) fn seen(output: &[u8]) -> impl Iterator<Item = Seen> {
    output
        .chunks_exact(size_of::<Seen>())
        .filter_map(|record| Seen::read_from_bytes(record).ok())
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, BytesMut};

    use super::*;

    #[test]
    fn reads_whole_records_and_drops_a_torn_one() {
        let mut output = BytesMut::new();
        for (inode, descriptor) in [(0xffff_8880_0000_1000_u64, 7), (0xffff_8880_0000_2000, 9)] {
            output.put_u64_ne(inode);
            output.put_u64_ne(inode + 8);
            output.put_u64_ne(0xffff_8880_0000_0000);
            output.put_u32_ne(descriptor);
            output.put_u32_ne(1);
        }
        output.put_slice(&[1, 2, 3]);
        let read: Vec<(u64, u32)> = seen(&output)
            .map(|seen| (seen.inode, seen.descriptor))
            .collect();
        assert_eq!(
            read,
            [(0xffff_8880_0000_1000, 7), (0xffff_8880_0000_2000, 9)]
        );
        assert_eq!(seen(&[]).count(), 0);
    }
}
