//! Mappings.

use std::{fs::File, io, path::Path, process};

use rustix::mm::MapFlags;

use crate::sys::Mapping;

pub(super) fn private(path: &Path) -> io::Result<Mapping> {
    Mapping::new(&File::open(path)?, MapFlags::PRIVATE)
}

pub(super) fn shared(path: &Path) -> io::Result<Mapping> {
    Mapping::new(&File::open(path)?, MapFlags::SHARED)
}

pub(super) fn map_files(path: &Path) -> io::Result<File> {
    let mapping = shared(path)?;
    let begin = mapping.address();
    let end = begin + Mapping::LENGTH;
    File::open(format!(
        "/proc/{}/map_files/{begin:x}-{end:x}",
        process::id()
    ))
}
