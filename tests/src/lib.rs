//! What the scenarios share: shell commands, and looks at the guest that do without rousr.

pub mod archive;
pub mod attribution;
pub mod blockers;
pub mod cost;
pub mod gate;
pub mod hold;
pub mod kills;
pub mod kinds;
pub mod latency;
mod ledger;
mod log;
mod look;
mod made;
pub mod package;
pub mod powercut;
pub mod preserve;
pub mod sealing;
pub mod snippet;
mod swap;
mod sys;
mod task;
pub mod torture;
pub mod truth;
pub mod upgrade;
pub mod verify;
pub mod windows;
mod wire;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sys::PrivateCopy;

/// The hold directory.
pub const HOLDS: &str = "/usr/.rousr";

/// A finished command.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; 255 for death by a signal.
    pub status: i32,
    /// What it wrote to standard output and standard error.
    pub output: String,
}

/// Runs a line of shell.
pub fn shell(line: &str) -> Finished {
    let finished = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {line}")])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    Finished {
        status: finished.status.code().unwrap_or(255),
        output: String::from_utf8_lossy(&finished.stdout).into_owned(),
    }
}

/// Runs a line of shell that has to succeed, and returns what it wrote.
///
/// # Panics
///
/// Panics with its output where it fails.
#[track_caller]
pub fn succeed(line: &str) -> String {
    let finished = shell(line);
    assert_eq!(finished.status, 0, "{line}\n{}", finished.output);
    finished.output
}

/// A program that ends with the test.
#[derive(Debug)]
pub struct Background(Child);

impl Background {
    /// Starts a line of shell.
    pub fn start(line: &str) -> Self {
        let child = Command::new("sh")
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::null())
            .spawn()
            .expect("sh runs");
        Self(child)
    }

    /// rousr's agent, in a guest without an init. What it says is in /run/agent.log.
    pub(crate) fn agent() -> io::Result<Self> {
        for folder in ["/run/rousr", "/var/lib/rousr"] {
            fs::create_dir_all(folder)?;
        }
        Ok(Self::start("rousr agent 2>/run/agent.log"))
    }

    /// Its process: the shell becomes the program.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps a private copy of a file in memory and writes to all of it, until killed.
///
/// # Errors
///
/// Fails where the file cannot be opened or mapped.
pub fn keep_dirty_copy(path: &Path) -> io::Result<Infallible> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let copy = PrivateCopy::new(&file, length)?;
    drop(file);
    loop {
        copy.write();
    }
}

/// The flags of the mount at /usr and of its superblock, from mountinfo.
///
/// # Panics
///
/// Panics where /usr is no mount.
pub fn usr_flags() -> (String, String) {
    flags_of("/usr").expect("/usr is a mount")
}

/// The same of the mount that holds /usr.
///
/// # Panics
///
/// Panics where mountinfo tells of none.
pub fn flags() -> (String, String) {
    flags_of("/usr")
        .or_else(|| flags_of("/"))
        .expect("/ is a mount")
}

/// The flags of a mount and of its superblock; none where nothing is mounted there.
///
/// # Panics
///
/// Panics where mountinfo cannot be read.
pub fn flags_of(mount_point: &str) -> Option<(String, String)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let line = mounts
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some(mount_point))?;
    let fields: Vec<&str> = line.split(' ').collect();
    let flag = |options: &str| options.split(',').next().unwrap_or_default().to_owned();
    Some((flag(fields[5]), flag(fields[fields.len() - 1])))
}

/// Fails unless mount and superblock of /usr are read-only, and says what rousr knows about it.
///
/// # Panics
///
/// Panics where they are not.
#[track_caller]
pub fn assert_sealed() {
    if !is_sealed() {
        let flags = usr_flags();
        let status = shell("rousr status; journalctl -u rousr --no-pager -o cat -n 30").output;
        panic!("/usr is not sealed: {flags:?}\n{status}");
    }
}

/// Whether mount and superblock of /usr are read-only.
///
/// # Panics
///
/// Panics where /usr is no mount.
pub fn is_sealed() -> bool {
    usr_flags() == ("ro".to_owned(), "ro".to_owned())
}

/// What an event leads to is there by then: far more than it takes, as guests share their emulated
/// processors. `cargo xtask bench latency` measures how much that is.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until nothing is held and the window is shut.
///
/// # Panics
///
/// Panics when it is not.
#[track_caller]
pub fn wait_for_reap() {
    wait(SOON, "nothing is held and /usr is sealed", || {
        holds().is_empty() && is_sealed()
    });
}

/// Waits until the agent's service is active.
///
/// # Panics
///
/// Panics when it is not within a minute.
#[track_caller]
pub fn wait_for_agent() {
    wait(Duration::from_secs(60), "the agent runs", || {
        shell("systemctl is-active --quiet rousr").status == 0
    });
}

/// Whether a guard runs, as nobody else looks after /usr.
pub fn is_guarded() -> bool {
    shell("pgrep -f '^[^ ]*rousr agent (.* )?--guard'").status == 0
}

/// The agent's process.
#[track_caller]
pub fn agent_pid() -> String {
    succeed("systemctl show -P MainPID rousr").trim().to_owned()
}

/// Fails where the agent has run within this time, after a pause for what it does at its start.
///
/// # Panics
///
/// Panics where it has.
#[track_caller]
pub fn assert_idle(pause: Duration, time: Duration) {
    let status = format!("/proc/{}/status", agent_pid());
    let switches = || {
        let status = fs::read_to_string(&status).expect("the agent");
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    thread::sleep(pause);
    let before = switches();
    assert_eq!(before.len(), 2, "voluntary and involuntary ones");
    thread::sleep(time);
    assert_eq!(switches(), before);
}

/// Brings the guest into the state that a scenario begins with, whatever the last one left: the
/// agent runs, nothing is held, /usr is sealed and the scenarios' packages are not installed.
///
/// # Panics
///
/// Panics where that cannot be had.
#[track_caller]
pub fn begin() {
    shell("systemctl stop rousr-demo rousr-demo-script");
    shell("systemctl reset-failed rousr; systemctl start rousr");
    wait_for_agent();
    for package in ["rousr-demo", "rousr-kinds"] {
        if fs::exists(format!("/usr/share/{package}")).expect("readable") {
            succeed(&format!("apt-get -y -q purge {package}"));
        }
    }
    wait(Duration::from_secs(60), "nothing is held", || {
        holds().is_empty()
    });
    assert_sealed();
}

/// Inodes of /usr without a name that some process has open or mapped, by procfs.
///
/// # Panics
///
/// Panics where /proc cannot be listed.
pub fn orphans() -> Vec<PathBuf> {
    let usr = fs::metadata("/usr").expect("/usr").dev();
    let mut orphans = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc").filter_map(Result::ok) {
        if !process
            .file_name()
            .to_string_lossy()
            .bytes()
            .all(|byte| byte.is_ascii_digit())
        {
            continue;
        }
        for kind in ["map_files", "fd"] {
            // A process may end meanwhile.
            let Ok(links) = fs::read_dir(process.path().join(kind)) else {
                continue;
            };
            for link in links.filter_map(Result::ok) {
                let found = fs::metadata(link.path());
                if found.is_ok_and(|inode| inode.dev() == usr && inode.nlink() == 0) {
                    orphans.push(fs::read_link(link.path()).unwrap_or_default());
                }
            }
        }
    }
    orphans
}

/// The inode numbers in the hold directory.
pub fn holds() -> BTreeSet<u64> {
    // At the top of the filesystem that holds /usr.
    let is_own = Path::new(HOLDS).exists();
    holds_of(if is_own { "/usr" } else { "/" })
}

/// The same of the filesystem mounted there.
pub fn holds_of(mount_point: &str) -> BTreeSet<u64> {
    fs::read_dir(Path::new(mount_point).join(".rousr"))
        .map(|names| {
            names
                .filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default()
}

/// The inode number of a path.
///
/// # Panics
///
/// Panics where nothing is there.
#[track_caller]
pub fn inode(path: &str) -> u64 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .ino()
}

/// `rousr status --json`.
///
/// # Panics
///
/// Panics where it fails.
#[track_caller]
pub fn status() -> serde_json::Value {
    json("rousr status --json")
}

/// What a command prints for programs.
///
/// # Panics
///
/// Panics where it fails, or prints no JSON.
#[track_caller]
pub fn json(command: &str) -> serde_json::Value {
    let told = succeed(command);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{command}: {error}: {told}"))
}

/// What `rousr history` tells of each transaction, the last one last.
///
/// # Panics
///
/// Panics where it tells nothing.
#[track_caller]
pub fn transactions() -> Vec<serde_json::Value> {
    let told = json("rousr history --json");
    told["transactions"]
        .as_array()
        .expect("transactions")
        .clone()
}

/// A path below /usr/share of which the kernel program tells nobody, as its record has no room for it: a file
/// there, or in a folder of that name, gets no hold as a newcomer.
pub fn untold(name: &str) -> String {
    format!("/usr/share/{name}-{}", "x".repeat(230))
}

/// One of the agent's metrics, by its name and labels.
///
/// # Panics
///
/// Panics where the metrics lack it.
#[track_caller]
pub fn metric(name: &str) -> f64 {
    let text = succeed("curl -sS --unix-socket /run/rousr/metrics.sock http://rousr/metrics");
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or_else(|| panic!("no metric {name} in\n{text}"))
}

/// Waits for something to become true.
///
/// # Panics
///
/// Panics when it has not within `limit`.
#[track_caller]
pub fn wait(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
