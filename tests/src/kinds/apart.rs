//! A thread that has something which the rest of the process has not.

use std::{
    io,
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
};

/// The thread; it ends when this is dropped.
pub(super) struct Apart {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Apart {
    /// Starts a thread that keeps what `make` returns in it; returns once it has that.
    pub(super) fn start<T>(
        make: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (made, result) = channel();
        let thread = thread::spawn(move || {
            let (_kept, told) = match make() {
                Ok(kept) => (Some(kept), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = made.send(told);
            // Until the holder hangs up.
            let _ = stopped.recv();
        });
        let apart = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        result.recv().expect("the thread tells")?;
        Ok(apart)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "a thread apart panicked");
        }
    }
}
