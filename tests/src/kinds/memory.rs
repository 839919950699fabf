//! Mappings.

use std::{fs::File, io, ops::Range, path::Path, process};

use rustix::mm::MapFlags;

use crate::sys::Mapping;

pub(super) fn private(path: &Path) -> io::Result<Mapping> {
    Mapping::page(File::open(path)?, MapFlags::PRIVATE)
}

pub(super) fn shared(path: &Path) -> io::Result<Mapping> {
    Mapping::page(File::open(path)?, MapFlags::SHARED)
}

pub(super) fn map_files(path: &Path) -> io::Result<File> {
    let mapping = shared(path)?;
    let Range { start, end } = mapping.addresses();
    File::open(format!(
        "/proc/{}/map_files/{start:x}-{end:x}",
        process::id()
    ))
}
