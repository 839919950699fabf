//! Files of JSON objects, one a line, that are appended to.
//!
//! An interrupted write leaves half a line at the end, which nobody misses; a line that cannot be read
//! costs itself only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// As lines.
///
/// # Errors
///
/// Fails where one is no JSON object.
pub fn to_lines<T: Serialize>(values: &[T]) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for value in values {
        serde_json::to_writer(&mut lines, value)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// All that can be read, and the numbers, from 1, of the lines that cannot, each with what is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> (Vec<T>, Vec<(usize, String)>) {
    let mut values = Vec::new();
    let mut damages = Vec::new();
    let mut lines = bytes.split(|&byte| byte == b'\n').zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let is_last = lines.peek().is_none();
        match serde_json::from_slice(line) {
            Ok(value) => values.push(value),
            Err(error) if is_last && error.is_eof() => {}
            Err(error) => damages.push((number, without_position(&error))),
        }
    }
    (values, damages)
}

/// serde_json counts the lines of what it was given, which is one.
fn without_position(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.rsplit_once(" at line ")
        .map_or(told.as_str(), |(what, _)| what)
        .to_owned()
}

/// Appends by one write, after what a torn one has left is gone. The file and its directory need not
/// exist.
///
/// # Errors
///
/// Fails where the file cannot be written.
pub fn append<T: Serialize + DeserializeOwned>(path: &Path, values: &[T]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    let mut lines = Vec::new();
    if !ends_well(&mut file)? {
        let bytes = fs::read(path)?;
        let line = bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or(&bytes);
        match serde_json::from_slice::<T>(line) {
            // All but the newline was written.
            Ok(_) => lines.push(b'\n'),
            Err(_) => file.set_len((bytes.len() - line.len()) as u64)?,
        }
    }
    lines.extend(to_lines(values)?);
    file.write_all(&lines)
}

/// Whether the last line has its end.
fn ends_well(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
