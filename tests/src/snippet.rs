//! What others have in apt's and dpkg's configuration.

use std::{fs, path::PathBuf};

/// A file below /etc, gone with the test.
#[derive(Debug)]
pub struct Snippet(PathBuf);

impl Snippet {
    /// Of apt's configuration, with this line.
    ///
    /// # Panics
    ///
    /// Panics where it cannot be written.
    #[track_caller]
    pub fn new(name: &str, line: &str) -> Self {
        let path = PathBuf::from("/etc/apt/apt.conf.d").join(name);
        fs::write(&path, format!("{line}\n")).expect("written");
        Self(path)
    }

    /// One that the guest's image has put aside (tests/guest/customize), by its name below /etc, put back
    /// under this name beside that.
    ///
    /// # Panics
    ///
    /// Panics where the image has none, or it cannot be written.
    #[track_caller]
    pub fn put_back(original: &str, name: &str) -> Self {
        let path = PathBuf::from("/etc").join(original).with_file_name(name);
        fs::copy(format!("/var/lib/rousr-lab/hooks/{original}"), &path)
            .unwrap_or_else(|error| panic!("{original}: {error}"));
        Self(path)
    }
}

impl Drop for Snippet {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
