//! Who a process is: its name, program and start.

use std::path::PathBuf;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::{
    membership::{Membership, Unit},
    usage::Usage,
};

/// A process as people know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// The process's number.
    pub pid: u32,
    /// The command's name, at most 15 bytes; what is not UTF-8 is replaced.
    pub comm: String,
    /// When it started, in clock ticks since boot: with the number it names a process for good.
    pub started: u64,
    /// The systemd unit it runs in.
    pub unit: Option<Unit>,
    /// The container it runs in: a name, or what its engine takes for one.
    pub container: Option<String>,
}

/// A process as it is shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// The process's number.
    pub pid: u32,
    /// The command's name.
    pub comm: String,
    /// The systemd unit's name.
    pub unit: Option<String>,
    /// The user whose manager runs the unit; absent for the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_user: Option<u32>,
}

/// A process that keeps something in use, and how.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The process.
    #[serde(flatten)]
    pub who: Who,
    /// Such as `fd 3` or `mapping`.
    pub uses: Vec<String>,
}

impl Process {
    /// Reads a process from /proc.
    ///
    /// # Errors
    /// It has ended, or the kernel's text is not as documented in proc(5).
    pub fn read(pid: u32) -> io::Result<Self> {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}"));
        let stat = read("stat")?;
        let started = start_time(&stat).ok_or_else(|| {
            let text = String::from_utf8_lossy(&stat);
            let message = format!("/proc/{pid}/stat has no start time in field 22: {text}");
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        let comm = read("comm")?;
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        let Membership { unit, container } = Membership::of_text(&read("cgroup")?);
        Ok(Self {
            pid,
            comm: String::from_utf8_lossy(comm).into_owned(),
            started,
            unit,
            container,
        })
    }
}

/// The program that a process runs; `None` for a kernel thread, and where the caller may not see it.
/// A removed one has ` (deleted)` at its end.
pub fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Before a file of a process is open it is missing; while it is open the process is.
pub(super) fn has_ended(error: &io::Error) -> bool {
    const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

impl Holder {
    /// The process, and how it uses what it holds: each way once.
    pub fn new<'a>(process: &Process, usages: impl IntoIterator<Item = &'a Usage>) -> Self {
        let mut uses: Vec<String> = Vec::new();
        for usage in usages {
            let shown = usage.how.to_string();
            if !uses.contains(&shown) {
                uses.push(shown);
            }
        }
        Self {
            who: process.into(),
            uses,
        }
    }
}

impl From<&Process> for Who {
    fn from(process: &Process) -> Self {
        let unit = process.unit.as_ref();
        Self {
            pid: process.pid,
            comm: process.comm.clone(),
            unit: unit.map(|unit| unit.name.clone()),
            unit_user: unit.and_then(|unit| unit.user),
        }
    }
}

/// Whether the process that started then has not ended; a zombie has.
pub fn is_running(pid: u32, started: u64) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    start_time(&stat) == Some(started) && !is_zombie(&stat)
}

/// By field 3 of /proc/PID/stat.
fn is_zombie(stat: &[u8]) -> bool {
    let name_end = stat.iter().rposition(|&byte| byte == b')');
    let state = name_end.and_then(|end| stat.get(end + 2));
    matches!(state, Some(b'Z' | b'X'))
}

/// The process's parent, by field 4 of /proc/PID/stat.
///
/// # Errors
/// It has ended, or has none.
pub fn parent(pid: u32) -> io::Result<u32> {
    let parent = field(&fs::read(format!("/proc/{pid}/stat"))?, 4);
    match parent.and_then(|parent| u32::try_from(parent).ok()) {
        Some(parent @ 1..) => Ok(parent),
        _ => Err(io::Error::other(format!("process {pid} has no parent"))),
    }
}

/// The process that this one is a copy of, which runs another part of the same program: it was forked and has
/// executed nothing (`PF_FORKNOEXEC` in the kernel's include/linux/sched.h, field 9 of /proc/PID/stat).
/// `None` where it is none, or whose copy it is has ended.
pub fn original(pid: u32) -> Option<u32> {
    let is_copy = is_copy(&fs::read(format!("/proc/{pid}/stat")).ok()?);
    let original = parent(pid).ok().filter(|_| is_copy)?;
    // One whose parent has ended has been given another.
    (executable(original)? == executable(pid)?).then_some(original)
}

/// By field 9 of /proc/PID/stat.
fn is_copy(stat: &[u8]) -> bool {
    const PF_FORKNOEXEC: u64 = 0x40;
    field(stat, 9).is_some_and(|flags| flags & PF_FORKNOEXEC != 0)
}

/// By field 22 of /proc/PID/stat.
fn start_time(stat: &[u8]) -> Option<u64> {
    field(stat, 22)
}

/// The `number`th field of /proc/PID/stat, from the third on. The command's name in field 2 may hold
/// anything, even `)`, so the count starts after the last one.
fn field(stat: &[u8], number: usize) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    fields.nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::env;

    use proptest::prelude::*;

    use super::super::usage::How;
    use super::*;

    #[test]
    fn finds_the_start_time_behind_any_name() {
        let fields = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        for name in ["sh", "a) (b", ") 1 2 3", ""] {
            let stat = format!("42 ({name}) {fields}\n");
            assert_eq!(start_time(stat.as_bytes()), Some(4711), "{name}");
        }
        for broken in [
            "",
            "42 (sh",
            "42 (sh) S 1",
            "42 (sh) S 1 1 1 0 -1 1 1 0 0 0 0 0 0 0 20 0 1 0 x",
        ] {
            assert_eq!(start_time(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn reads_this_process() {
        let this = Process::read(std::process::id()).unwrap();
        assert_eq!(executable(this.pid), Some(env::current_exe().unwrap()));
        assert!(this.started > 0);
        let again = Process::read(std::process::id()).unwrap();
        assert_eq!(this, again);
    }

    /// Of a shell, in parentheses.
    #[test]
    fn a_copy_is_told_from_a_program_of_its_own() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "echo; (read line; :); :"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = shell.id();
        io::Read::read_exact(&mut shell.stdout.take().unwrap(), &mut [0]).unwrap();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let copy = loop {
            let told = fs::read_to_string(&children).unwrap();
            if let Some(copy) = told.split_whitespace().next() {
                break copy.parse().unwrap();
            }
        };
        assert_eq!(original(copy), Some(pid));
        assert_eq!(original(pid), None, "it executed its program");
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!(original(copy), None, "it has ended");
    }

    #[test]
    fn a_zombie_and_a_number_that_is_used_again_do_not_run() {
        let this = Process::read(std::process::id()).unwrap();
        assert!(is_running(this.pid, this.started));
        assert!(!is_running(this.pid, this.started + 1));
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let Process { pid, started, .. } = Process::read(child.id()).unwrap();
        assert!(is_running(pid, started));
        child.kill().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_running(pid, started) {
            assert!(std::time::Instant::now() < end, "killed and not reaped");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_running(pid, started));
    }

    #[test]
    fn each_way_is_told_once() {
        let usage = |how| Usage {
            pid: 7,
            inode: 1,
            device: 1,
            links: 1,
            directory: false,
            writable: false,
            times: 1,
            how,
        };
        let process = Process::read(std::process::id()).unwrap();
        let usages = [How::Mapping, How::Descriptor(3), How::Mapping].map(usage);
        let holder = Holder::new(&process, &usages);
        assert_eq!(
            (holder.who.pid, &holder.uses[..]),
            (process.pid, &["mapping", "fd 3"].map(String::from)[..])
        );
    }

    #[test]
    fn json_says_only_what_is_known() {
        let mut holder = Holder {
            who: Who {
                pid: 7,
                comm: "x".to_owned(),
                unit: Some("x.service".to_owned()),
                unit_user: Some(1000),
            },
            uses: vec!["fd 3".to_owned()],
        };
        let json = serde_json::to_string(&holder).unwrap();
        assert_eq!(
            json,
            r#"{"pid":7,"comm":"x","unit":"x.service","unitUser":1000,"uses":["fd 3"]}"#
        );
        holder.who.unit = None;
        holder.who.unit_user = None;
        let json = serde_json::to_string(&holder).unwrap();
        assert_eq!(json, r#"{"pid":7,"comm":"x","unit":null,"uses":["fd 3"]}"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = start_time(&bytes);
        }
    }
}
