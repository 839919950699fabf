//! Who uses which inode of one filesystem, from /proc alone.
//!
//! Slower than the BPF iterators, and it works on any kernel. It sees no descriptor in flight
//! in a Unix socket, no io_uring fixed file, no loop device and no overlay's lower file.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Statx, StatxFlags, makedev, openat, statx,
};
use rustix::io::Errno;

use super::usage::{How, Usage};

/// What /proc told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// All usages found, process by process.
    pub usages: Vec<Usage>,
    /// Processes of which something could not be read, so that usages may be missing. Without
    /// `CAP_SYS_PTRACE` these are other users' processes; without `CAP_SYS_ADMIN` or
    /// `CAP_CHECKPOINT_RESTORE` all processes, as their mappings cannot be told.
    pub incomplete: Vec<u32>,
    /// For each inode found one magic link that leads to it.
    pub links: HashMap<u64, PathBuf>,
}

/// Visits every process for the inodes of the filesystem whose `st_dev` is `device`.
///
/// # Errors
/// /proc cannot be listed. A process that ends meanwhile is no error.
pub fn snapshot(device: u64) -> io::Result<Snapshot> {
    let proc = open_directory(CWD, c"/proc")?;
    let mut snapshot = Snapshot::default();
    for entry in Dir::read_from(&proc)? {
        let entry = entry?;
        let Some(pid) = number(entry.file_name()) else {
            continue;
        };
        let mut visit = Visit::new(pid, device);
        visit.process(proc.as_fd(), entry.file_name());
        // Threads share most of what they have.
        Usage::merge(&mut visit.usages);
        snapshot.usages.append(&mut visit.usages);
        for (inode, link) in visit.links {
            snapshot.links.entry(inode).or_insert(link);
        }
        if visit.incomplete {
            snapshot.incomplete.push(pid);
        }
    }
    Ok(snapshot)
}

/// One process. All goes through descriptors of its own directory in /proc, which fail with
/// ESRCH once it has ended, even if its number is taken by another.
struct Visit {
    pid: u32,
    device: u64,
    usages: Vec<Usage>,
    links: HashMap<u64, PathBuf>,
    incomplete: bool,
}

impl Visit {
    fn new(pid: u32, device: u64) -> Self {
        Self {
            pid,
            device,
            usages: Vec::new(),
            links: HashMap::new(),
            incomplete: false,
        }
    }

    fn process(&mut self, proc: BorrowedFd<'_>, name: &CStr) {
        let Some(process) = self.note(open_directory(proc, name)) else {
            return;
        };
        let path = PathBuf::from(format!("/proc/{}", self.pid));
        self.link(process.as_fd(), &path, c"exe", |_| How::Executable);
        let mappings_path = path.join("map_files");
        self.each(process.as_fd(), c"map_files", |visit, mappings, name| {
            visit.link(mappings, &mappings_path, name, |_| How::Mapping);
        });
        self.each(process.as_fd(), c"task", Self::thread);
    }

    /// A thread may have descriptors, a working directory and a root of its own, and a process
    /// whose first thread has exited shows none at its top.
    fn thread(&mut self, tasks: BorrowedFd<'_>, name: &CStr) {
        let Some(thread) = self.note(open_directory(tasks, name)) else {
            return;
        };
        let path = PathBuf::from(format!("/proc/{}/task", self.pid)).join(file_name(name));
        self.link(thread.as_fd(), &path, c"cwd", |_| How::WorkingDirectory);
        self.link(thread.as_fd(), &path, c"root", |_| How::Root);
        let descriptors_path = path.join("fd");
        self.each(thread.as_fd(), c"fd", |visit, descriptors, name| {
            let Some(descriptor) = number(name) else {
                return;
            };
            visit.link(
                descriptors,
                &descriptors_path,
                name,
                |access| match access {
                    Access::Path => How::PathDescriptor(descriptor),
                    Access::Read | Access::Write => How::Descriptor(descriptor),
                },
            );
        });
    }

    fn each(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        mut visit: impl FnMut(&mut Self, BorrowedFd<'_>, &CStr),
    ) {
        let Some(directory) = self.note(open_directory(parent, name)) else {
            return;
        };
        let Some(entries) = self.note(Dir::read_from(&directory)) else {
            return;
        };
        for entry in entries {
            let Some(entry) = self.note(entry) else {
                return;
            };
            if !entry.file_name().to_bytes().starts_with(b".") {
                visit(self, directory.as_fd(), entry.file_name());
            }
        }
    }

    /// Adds what a magic link leads to if it is on the filesystem.
    fn link(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &Path,
        name: &CStr,
        how: impl Fn(Access) -> How,
    ) {
        let Some(target) = self.note(status(parent, name, AtFlags::empty())) else {
            return;
        };
        if makedev(target.stx_dev_major, target.stx_dev_minor) != self.device {
            return;
        }
        let Some(link) = self.note(status(parent, name, AtFlags::SYMLINK_NOFOLLOW)) else {
            return;
        };
        self.links
            .entry(target.stx_ino)
            .or_insert_with(|| path.join(file_name(name)));
        let access = Access::of(&link);
        let how = how(access);
        self.usages.push(Usage {
            pid: self.pid,
            inode: target.stx_ino,
            device: self.device,
            links: target.stx_nlink.into(),
            directory: FileType::from_raw_mode(target.stx_mode.into()) == FileType::Directory,
            // The links exe, cwd and root always show every permission.
            writable: access == Access::Write && matches!(how, How::Descriptor(_) | How::Mapping),
            times: 1,
            how,
        });
    }

    /// What has gone needs no note; what was refused leaves the visit incomplete.
    fn note<T>(&mut self, result: Result<T, Errno>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Errno::NOENT | Errno::SRCH) => None,
            Err(_) => {
                self.incomplete = true;
                None
            }
        }
    }
}

/// How a file was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    Path,
    Read,
    Write,
}

impl Access {
    /// The owner's permissions of a link in `fd` or `map_files` are `FMODE_READ` and
    /// `FMODE_WRITE` of the open file, and `O_PATH` has neither. Source: `tid_fd_update_inode`
    /// in fs/proc/fd.c, `proc_map_files_instantiate` in fs/proc/base.c.
    fn of(link: &Statx) -> Self {
        let mode = Mode::from_raw_mode(link.stx_mode.into());
        if mode.contains(Mode::WUSR) {
            Self::Write
        } else if mode.contains(Mode::RUSR) {
            Self::Read
        } else {
            Self::Path
        }
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Never waits for a network filesystem's server: what is cached tells the filesystem.
fn status(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Statx, Errno> {
    let flags = flags | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(
        parent,
        name,
        flags,
        StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::INO | StatxFlags::NLINK,
    )
}

fn file_name(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

fn number(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::process::{Child, Command, Stdio};

    use tempfile::TempDir;

    use super::*;

    /// A child that is ended with its test.
    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn usages_of(pid: u32, path_metadata: &fs::Metadata) -> (Vec<Usage>, bool) {
        let mut found = snapshot(path_metadata.dev()).unwrap();
        found
            .usages
            .retain(|usage| usage.pid == pid && usage.inode == path_metadata.ino());
        (found.usages, found.incomplete.contains(&pid))
    }

    fn usage(metadata: &fs::Metadata, pid: u32, how: How) -> Usage {
        Usage {
            pid,
            inode: metadata.ino(),
            device: metadata.dev(),
            links: 0,
            directory: metadata.is_dir(),
            writable: false,
            times: 1,
            how,
        }
    }

    fn descriptor(file: &File) -> u32 {
        file.as_raw_fd().try_into().unwrap()
    }

    #[test]
    fn sees_descriptors_of_an_unlinked_file_and_how_each_was_opened() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        let writing = File::create(&path).unwrap();
        let reading = File::open(&path).unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let by_path = File::from(rustix::fs::open(&path, flags, Mode::empty()).unwrap());
        let both = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        fs::remove_file(&path).unwrap();

        let metadata = reading.metadata().unwrap();
        let expected = |how, writable| Usage {
            writable,
            ..usage(&metadata, std::process::id(), how)
        };
        let (mut found, _) = usages_of(std::process::id(), &metadata);
        let mut all = [
            expected(How::Descriptor(descriptor(&writing)), true),
            expected(How::Descriptor(descriptor(&reading)), false),
            expected(How::PathDescriptor(descriptor(&by_path)), false),
            expected(How::Descriptor(descriptor(&both)), true),
        ];
        // Tests that run beside this one make any number free at any time.
        found.sort_by_key(|usage| usage.how.to_string());
        all.sort_by_key(|usage| usage.how.to_string());
        assert_eq!(found, all);
    }

    #[test]
    fn counts_the_links_left() {
        let folder = TempDir::new().unwrap();
        let file = File::create(folder.path().join("file")).unwrap();
        fs::hard_link(folder.path().join("file"), folder.path().join("hold")).unwrap();
        let metadata = file.metadata().unwrap();
        let links = |metadata| usages_of(std::process::id(), metadata).0[0].links;
        assert_eq!(links(&metadata), 2);
        fs::remove_file(folder.path().join("file")).unwrap();
        assert_eq!(links(&metadata), 1);
    }

    #[test]
    fn sees_a_removed_program_that_runs_in_a_removed_directory() {
        let folder = TempDir::new().unwrap();
        let (program, cwd) = (folder.path().join("sleep"), folder.path().join("cwd"));
        // Copied by another process: a copy's descriptor that a concurrent test's child
        // inherits would make the program busy.
        let copied = Command::new("cp")
            .arg("/bin/sleep")
            .arg(&program)
            .status()
            .unwrap();
        assert!(copied.success());
        fs::create_dir(&cwd).unwrap();
        let (program_metadata, cwd_metadata) =
            (program.metadata().unwrap(), cwd.metadata().unwrap());
        let child = Ended(
            Command::new(&program)
                .arg("60")
                .current_dir(&cwd)
                .spawn()
                .unwrap(),
        );
        fs::remove_file(&program).unwrap();
        fs::remove_dir(&cwd).unwrap();

        let pid = child.0.id();
        let (in_directory, _) = usages_of(pid, &cwd_metadata);
        assert_eq!(
            in_directory,
            [usage(&cwd_metadata, pid, How::WorkingDirectory)]
        );

        let (of_program, incomplete) = usages_of(pid, &program_metadata);
        let mut expected = vec![usage(&program_metadata, pid, How::Executable)];
        // Following a link of map_files needs a capability; without it that has to be told.
        if !incomplete {
            let mapped = of_program.iter().find(|usage| usage.how == How::Mapping);
            let mapping = Usage {
                // Code, data and more, as the linker laid them out.
                times: mapped.map_or(0, |usage| usage.times),
                ..usage(&program_metadata, pid, How::Mapping)
            };
            expected.insert(0, mapping);
        }
        assert_eq!(of_program, expected);
    }

    #[test]
    fn sees_what_a_child_inherits_and_its_root() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(file))
            .spawn()
            .unwrap();
        let child = Ended(child);
        let pid = child.0.id();
        let expected = Usage {
            writable: true,
            ..usage(&metadata, pid, How::Descriptor(0))
        };
        assert_eq!(usages_of(pid, &metadata).0, [expected]);

        let root = Path::new("/").metadata().unwrap();
        let (found, _) = usages_of(pid, &root);
        assert!(
            found
                .iter()
                .any(|usage| usage.how == How::Root && usage.directory && usage.links > 0)
        );
    }

    #[test]
    fn a_file_of_another_filesystem_is_of_no_interest() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let elsewhere = Path::new("/proc").metadata().unwrap().dev();
        let found = snapshot(elsewhere).unwrap();
        assert!(
            found
                .usages
                .iter()
                .all(|usage| usage.device != metadata.dev())
        );
    }
}
