//! One pass of a BPF iterator over all tasks.

use std::io::Read as _;

use aya::programs::{Iter, ProgramError};
use bytes::{Buf as _, Bytes};
use rousr_ebpf::OwnFile;

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
pub(super) fn run(program: &mut Iter) -> Result<Bytes, PassError> {
    let link = program.attach()?;
    let mut output = Vec::new();
    program
        .take_link(link)?
        .into_file()?
        .read_to_end(&mut output)?;
    Ok(output.into())
}

/// The records of `ITER_FILES`; a torn last one, which the kernel does not write, is dropped.
pub(super) fn own_files(mut output: Bytes) -> Vec<OwnFile> {
    let mut files = Vec::with_capacity(output.len() / size_of::<OwnFile>());
    while output.len() >= size_of::<OwnFile>() {
        files.push(OwnFile {
            inode: output.get_u64_ne(),
            descriptor: output.get_u64_ne(),
        });
    }
    files
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    #[test]
    fn reads_whole_records_and_drops_a_torn_one() {
        let mut output = bytes::BytesMut::new();
        for value in [0xffff_8880_0000_1000_u64, 7, 0xffff_8880_0000_2000, 9] {
            output.put_u64_ne(value);
        }
        output.put_slice(&[1, 2, 3]);
        assert_eq!(
            own_files(output.freeze()),
            [
                OwnFile {
                    inode: 0xffff_8880_0000_1000,
                    descriptor: 7
                },
                OwnFile {
                    inode: 0xffff_8880_0000_2000,
                    descriptor: 9
                },
            ]
        );
        assert_eq!(own_files(Bytes::new()), []);
    }
}
