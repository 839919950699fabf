//! Output as lines.

use std::io::{self, Write};

/// Cuts what is written to it into lines, without their ends.
pub(crate) struct Lines<F> {
    partial: Vec<u8>,
    each: F,
}

impl<F: FnMut(&[u8])> Lines<F> {
    /// Gives each line to `each` once it is whole.
    pub(crate) fn new(each: F) -> Self {
        let partial = Vec::new();
        Self { partial, each }
    }
}

impl<F: FnMut(&[u8])> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    (self.each)(&self.partial);
                    self.partial.clear();
                }
                _ => self.partial.push(byte),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_do_not_matter() {
        let stream = b"one\n\ntwo\n";
        for size in 1..=stream.len() {
            let mut seen = Vec::new();
            let mut lines = Lines::new(|line| seen.push(line.to_vec()));
            for chunk in stream.chunks(size) {
                lines.write_all(chunk).expect("takes it");
            }
            assert_eq!(seen, [&b"one"[..], b"", b"two"]);
        }
    }
}
