//! What a watched file contains: at once a program, a program's interpreter, a disk and a swap area.
//!
//! The first bytes are an ELF program that sleeps for ever. It names descriptor 900 as its interpreter,
//! and is position-independent, so that it serves as the interpreter of another one too. A swap area's
//! header begins at byte 1024 and ends with its signature at the first page's end.

use crate::{swap, sys::PAGE};

/// Bytes of a watched file: a swap area has its header and one page.
pub(super) const SIZE: usize = 2 * PAGE;

/// Where the text that tells generations apart stands.
const STAMP: usize = 512;

/// The descriptor that a watched program's interpreter is.
pub(super) const INTERPRETER: i32 = 900;

const ELF_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// `pause()` for ever: mov eax, 34; syscall; jmp to the mov.
const PAUSE: &[u8] = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7";
/// `exit(0)`: mov eax, 60; xor edi, edi; syscall.
const EXIT: &[u8] = b"\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05";

/// The content of a watched file of a generation.
pub(super) fn watched(generation: u32) -> Vec<u8> {
    let interpreter = format!("/proc/self/fd/{INTERPRETER}");
    let mut image = program(PAUSE, Some(&interpreter));
    image.resize(SIZE, 0);
    let stamp = format!("generation {generation}\n");
    put(&mut image, STAMP, stamp.as_bytes());
    swap::put_header(&mut image, 1);
    image
}

/// A program that ends at once.
pub(super) fn ending() -> Vec<u8> {
    program(EXIT, None)
}

/// A position-independent ELF program of one segment.
fn program(code: &[u8], interpreter: Option<&str>) -> Vec<u8> {
    const LOAD: u32 = 1;
    const INTERPRETER: u32 = 3;
    const READ: u32 = 4;
    const READ_EXECUTE: u32 = 5;
    let headers = 1 + usize::from(interpreter.is_some());
    let entry = ELF_HEADER + headers * PROGRAM_HEADER;
    let name = interpreter.map(|path| [path.as_bytes(), b"\0"].concat());
    let name_length = name.as_ref().map_or(0, Vec::len);
    let length = entry + code.len() + name_length;

    let mut image = Vec::with_capacity(length);
    image.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    image.extend(3_u16.to_le_bytes()); // ET_DYN
    image.extend(62_u16.to_le_bytes()); // EM_X86_64
    image.extend(1_u32.to_le_bytes());
    image.extend((entry as u64).to_le_bytes());
    image.extend((ELF_HEADER as u64).to_le_bytes());
    image.extend(0_u64.to_le_bytes());
    image.extend(0_u32.to_le_bytes());
    for field in [ELF_HEADER, PROGRAM_HEADER, headers, 64, 0, 0] {
        image.extend((field as u16).to_le_bytes());
    }
    let mut header = |kind: u32, flags: u32, at: usize, size: usize, alignment: usize| {
        image.extend(kind.to_le_bytes());
        image.extend(flags.to_le_bytes());
        for field in [at, at, at, size, size, alignment] {
            image.extend((field as u64).to_le_bytes());
        }
    };
    if interpreter.is_some() {
        header(INTERPRETER, READ, entry + code.len(), name_length, 1);
    }
    // As an interpreter it must end with a page: Linux 6.1 zeroes what is left of the last one
    // (`load_elf_interp`), and here it may not write.
    let end = match interpreter {
        Some(_) => length.next_multiple_of(PAGE),
        None => length,
    };
    header(LOAD, READ_EXECUTE, 0, end, PAGE);
    image.extend(code);
    image.extend(name.unwrap_or_default());
    image
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
        process::Command,
    };

    use super::*;

    #[test]
    fn is_a_swap_area_of_one_page() {
        let image = watched(7);
        assert_eq!(image.len(), 2 * PAGE);
        assert_eq!(&image[PAGE - 10..PAGE], b"SWAPSPACE2");
        assert_eq!(image[1024..1032], [1, 0, 0, 0, 1, 0, 0, 0]);
        assert!(image[STAMP..].starts_with(b"generation 7\n"));
    }

    /// On another architecture than x86-64 the programs are not understood.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn programs_run() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, image: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, image).expect("writes");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, mode).expect("changes the mode");
            path
        };
        let ending = write("ending", &ending());
        assert!(Command::new(ending).status().expect("runs").success());

        let watched = write("watched", &watched(1));
        let file = fs::File::open(&watched).expect("opens");
        let interpreter = rustix::io::fcntl_dupfd_cloexec(&file, INTERPRETER).expect("duplicates");
        assert_eq!(interpreter.as_raw_fd(), INTERPRETER);
        let mut child = Command::new(&watched).spawn().expect("runs");
        let exe = fs::read_link(format!("/proc/{}/exe", child.id())).expect("is running");
        assert_eq!(exe, watched);
        assert!(child.try_wait().expect("is ours").is_none());
        child.kill().expect("is killed");
        child.wait().expect("ends");
    }
}
