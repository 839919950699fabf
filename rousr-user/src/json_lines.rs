//! Files of JSON objects, one a line, that are appended to.
//!
//! An interrupted write leaves half a line at the end, which nobody misses; a line that cannot be read
//! costs itself only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// What is written at once.
const CHUNK: usize = 1 << 20;

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
    let damages = each(bytes, |value| values.push(value));
    (values, damages.expect("memory can be read"))
}

/// As [`parse`], one after another: a whole file may be large.
///
/// # Errors
///
/// Fails where the rest cannot be read.
pub fn each<T: DeserializeOwned>(
    mut bytes: impl BufRead,
    mut take: impl FnMut(T),
) -> io::Result<Vec<(usize, String)>> {
    let mut damages = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if bytes.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_last = line.pop_if(|last| *last == b'\n').is_none();
        if line.is_empty() {
            continue;
        }
        // Checked at once, and not once for each string in it.
        let parsed = match str::from_utf8(&line) {
            Ok(line) => serde_json::from_str(line),
            Err(_) => serde_json::from_slice(&line),
        };
        match parsed {
            Ok(value) => take(value),
            Err(error) if is_last && error.is_eof() => {}
            Err(error) => damages.push((number, without_position(&error))),
        }
    }
    Ok(damages)
}

/// serde_json counts the lines of what it was given, which is one.
fn without_position(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.rsplit_once(" at line ")
        .map_or(told.as_str(), |(what, _)| what)
        .to_owned()
}

/// Appends by one write for each mebibyte, after what a torn one has left is gone, and gives each value to
/// `written`. The file and its directory need not exist.
///
/// # Errors
///
/// Fails where the file cannot be written.
pub fn append<T: Serialize + DeserializeOwned>(
    path: &Path,
    values: impl IntoIterator<Item = T>,
    mut written: impl FnMut(T),
) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    let mut end: &[u8] = b"";
    if !ends_well(&mut file)? {
        let bytes = fs::read(path)?;
        let line = bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or(&bytes);
        match serde_json::from_slice::<T>(line) {
            // All but the newline was written.
            Ok(_) => end = b"\n",
            Err(_) => file.set_len((bytes.len() - line.len()) as u64)?,
        }
    }
    let mut file = BufWriter::with_capacity(CHUNK, file);
    file.write_all(end)?;
    for value in values {
        serde_json::to_writer(&mut file, &value)?;
        file.write_all(b"\n")?;
        written(value);
    }
    file.flush()
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
