//! Files that the kernel itself uses: behind a loop device, for swap.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::sys::{LoopRequest, number_ioctl, swapoff, swapon};

const CONTROL: &str = "/dev/loop-control";

/// A loop device with a backing file.
pub(super) struct Loop {
    device: Option<File>,
    number: i32,
}

pub(super) fn loop_over(path: &Path) -> io::Result<Loop> {
    let file = File::open(path)?;
    let control = loop_control()?;
    loop {
        let number = number_ioctl(control.as_fd(), LoopRequest::GetFree, 0)?;
        match attach(number, &file) {
            Err(error) if taken_meanwhile(&error) => {}
            attached => return attached,
        }
    }
}

fn attach(number: i32, file: &File) -> io::Result<Loop> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/dev/loop{number}"))?;
    number_ioctl(device.as_fd(), LoopRequest::SetFd, file.as_raw_fd())?;
    Ok(Loop {
        device: Some(device),
        number,
    })
}

/// Another task was given the same free device, and has it or is about to let go of it.
fn taken_meanwhile(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENXIO))
}

fn loop_control() -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(CONTROL);
    open().or_else(|_| {
        Command::new("modprobe").arg("loop").status()?;
        open()
    })
}

impl Drop for Loop {
    /// The backing file goes with the last close of the device, which may be udev's.
    fn drop(&mut self) {
        let device = self.device.take().expect("dropped once");
        let cleared = number_ioctl(device.as_fd(), LoopRequest::ClearFd, 0);
        assert!(cleared.is_ok(), "loop{}: {cleared:?}", self.number);
        drop(device);
        let bound = PathBuf::from(format!("/sys/block/loop{}/loop", self.number));
        let end = Instant::now() + Duration::from_secs(10);
        while bound.exists() {
            assert!(Instant::now() < end, "{} for 10 s", bound.display());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A swap file in use.
pub(super) struct Swap(PathBuf);

pub(super) fn swap(path: &Path) -> io::Result<Swap> {
    swapon(path)?;
    Ok(Swap(path.to_owned()))
}

impl Drop for Swap {
    fn drop(&mut self) {
        let off = swapoff(&self.0);
        assert!(off.is_ok(), "swapoff {}: {off:?}", self.0.display());
    }
}
