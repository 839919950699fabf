//! Looks at the flags of /usr all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::usr_flags;

/// Counts the times that the superblock became writable while the mount was read-only.
pub(super) struct Onlooker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Onlooker {
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || look(&stop))
        };
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the mount of /usr was writable"))
    }
}

fn look(stop: &AtomicBool) -> u64 {
    let mut seen = 0;
    let mut was_open = false;
    while !stop.load(Ordering::SeqCst) {
        let (mount, superblock) = usr_flags();
        assert_eq!(mount, "ro");
        let is_open = superblock == "rw";
        seen += u64::from(is_open && !was_open);
        was_open = is_open;
        thread::sleep(Duration::from_micros(200));
    }
    seen
}
