//! Attempts to write below /usr, one after another until told to stop.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use rousr_figures::windows::Attempts;
use rustix::fs::{AtFlags, CWD, Timestamps, utimensat};

/// Where it hammers.
const FOLDER: &str = "/usr/share/rousr-hammer";

/// Told of each of the few that matter.
const TOLD: usize = 10;

/// Makes the folder and a file in it; /usr is writable.
pub(super) fn prepare() -> anyhow::Result<()> {
    fs::create_dir_all(FOLDER)?;
    fs::write(file(), "content")?;
    Ok(())
}

/// Whether a write succeeds, as it should before /usr is sealed.
pub(super) fn try_once() -> io::Result<()> {
    File::options().write(true).open(file()).map(drop)
}

fn file() -> PathBuf {
    Path::new(FOLDER).join("file")
}

/// Hammers in a thread.
pub(super) struct Hammer {
    refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Attempts>,
}

impl Hammer {
    pub(super) fn start() -> Self {
        let refused = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (refused, stop) = (Arc::clone(&refused), Arc::clone(&stop));
            thread::spawn(move || hammer(&refused, &stop))
        };
        Self {
            refused,
            stop,
            thread,
        }
    }

    /// Attempts that were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    pub(super) fn stop(self) -> anyhow::Result<Attempts> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the thread that hammers panicked"))
    }
}

fn hammer(refused: &AtomicU64, stop: &AtomicBool) -> Attempts {
    let mut attempts = Attempts::default();
    while !stop.load(Ordering::SeqCst) {
        for (name, attempt) in ATTEMPTS {
            match attempt(&file()) {
                Err(error) if error.raw_os_error() == Some(libc::EROFS) => {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) if attempts.odd.len() < TOLD => {
                    attempts.odd.push(format!("{name}: {error}"));
                }
                Ok(()) if attempts.succeeded.len() < TOLD => {
                    attempts.succeeded.push(name.to_owned());
                }
                _ => {}
            }
        }
    }
    attempts.refused = refused.load(Ordering::SeqCst);
    attempts
}

type Attempt = fn(&Path) -> io::Result<()>;

const ATTEMPTS: [(&str, Attempt); 7] = [
    ("open for writing", |file| {
        OpenOptions::new().write(true).open(file).map(drop)
    }),
    ("truncate", |file| {
        let options = OpenOptions::new().write(true).truncate(true).open(file);
        options.map(drop)
    }),
    ("create", |file| {
        File::create(file.with_extension("new")).map(drop)
    }),
    ("mkdir", |file| fs::create_dir(file.with_extension("d"))),
    ("rename", |file| {
        fs::rename(file, file.with_extension("renamed"))
    }),
    ("unlink", |file| fs::remove_file(file)),
    ("utimensat", |file| {
        let now = rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(utimensat(CWD, file, &times, AtFlags::empty())?)
    }),
];
