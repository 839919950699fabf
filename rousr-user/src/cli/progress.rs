//! A line on a terminal about work that takes longer than a second.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How often the line is written anew, and not before.
const PERIOD: Duration = Duration::from_secs(1);

/// Does `work`, and says on standard error that it is done, if that is a terminal and it takes long.
pub(super) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        // Dropped with the work, also where that panics.
        let (_working, end) = mpsc::channel();
        scope.spawn(move || tell(what, PERIOD, &end, io::stderr()));
        work()
    })
}

/// Nobody reads it, or everybody: that it cannot be written is no reason to stop.
fn tell(what: &str, period: Duration, end: &Receiver<()>, mut terminal: impl Write) {
    let began = Instant::now();
    let mut is_told = false;
    while end.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let seconds = began.elapsed().as_secs();
        let _ = write!(terminal, "\rrousr: {what}, {seconds} s ");
        let _ = terminal.flush();
        is_told = true;
    }
    if is_told {
        let _ = write!(terminal, "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    /// The work ends after so many lines.
    struct Terminal<'t> {
        lines: usize,
        working: Option<Sender<()>>,
        shown: &'t mut Vec<u8>,
    }

    impl Write for Terminal<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.shown.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.lines -= 1;
            if self.lines == 0 {
                self.working = None;
            }
            Ok(())
        }
    }

    fn shown(lines: usize) -> String {
        let (working, end) = mpsc::channel();
        let mut shown = Vec::new();
        let terminal = Terminal {
            lines,
            working: (lines > 0).then_some(working),
            shown: &mut shown,
        };
        tell("settling", Duration::ZERO, &end, terminal);
        String::from_utf8(shown).expect("text")
    }

    #[test]
    fn work_that_ends_soon_is_not_told() {
        assert_eq!(shown(0), "");
    }

    #[test]
    fn the_line_is_written_anew_and_taken_away() {
        let shown = shown(3);
        assert_eq!(shown.matches("\rrousr: settling, ").count(), 3, "{shown:?}");
        assert!(shown.ends_with(" s \r\x1b[K"), "{shown:?}");
        assert!(!shown.contains('\n'), "{shown:?}");
    }

    #[test]
    fn what_the_work_says_comes_back() {
        assert_eq!(during("working", || 7), 7);
    }
}
