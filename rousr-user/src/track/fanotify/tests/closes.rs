//! Every way in which an inode loses its last holder.

use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::*;

#[tokio::test]
async fn a_duplicate_keeps_a_file_open() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let (path, _) = sandbox.file("file");
    let mut puppet = Puppet::new();
    puppet.open(3, &path);
    puppet.dup(3, 4);
    watch(&mut tracker, &[&path]);
    puppet.close(3);
    assert_silent(&mut tracker).await;
    puppet.close(4);
    sandbox.until_free(&mut tracker, &path).await;
}

#[tokio::test]
async fn each_open_file_is_told_of_and_the_lease_knows_the_last() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let (path, inode) = sandbox.file("file");
    let (mut one, mut other) = (Puppet::new(), Puppet::new());
    one.open(3, &path);
    other.open(3, &path);
    watch(&mut tracker, &[&path]);
    one.close(3);
    let news = news_within(&mut tracker, PATIENCE).await.expect("is told");
    assert_eq!(news.releases[0].inode, inode);
    assert!(!news.lost && !sandbox.is_free(&path));
    // A process that ends closes what it has.
    drop(other);
    sandbox.until_free(&mut tracker, &path).await;
}

#[tokio::test]
async fn a_writer_is_told_of_too() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let (path, _) = sandbox.file("file");
    let mut puppet = Puppet::new();
    puppet.run(&format!("exec 3>'{}'", path.display()));
    watch(&mut tracker, &[&path]);
    puppet.close(3);
    sandbox.until_free(&mut tracker, &path).await;
}

#[tokio::test]
async fn an_open_through_another_link_is_told_of() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let (path, _) = sandbox.file("file");
    let link = sandbox.path("link");
    fs::hard_link(&path, &link).expect("links");
    watch(&mut tracker, &[&path]);
    let mut puppet = Puppet::new();
    puppet.open(3, &link);
    assert_silent(&mut tracker).await;
    puppet.close(3);
    sandbox.until_free(&mut tracker, &path).await;
}

#[tokio::test]
async fn a_mapping_outlives_its_descriptor() {
    let program = Path::new("/bin/sleep");
    let library = mapped_library();
    for (file, source) in [("program", program), ("library", &library)] {
        let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
            return;
        };
        let path = sandbox.path(file);
        copy(source, &path);
        let mut holder = match file {
            "program" => Command::new(&path).arg("60").spawn(),
            _ => Command::new(program)
                .arg("60")
                .env("LD_PRELOAD", &path)
                .spawn(),
        }
        .expect("sleep runs");
        until_mapped(&holder, &path);
        watch(&mut tracker, &[&path]);
        assert_silent(&mut tracker).await;
        assert!(!sandbox.is_free(&path), "{file}");
        holder.kill().expect("is ours");
        holder.wait().expect("ends");
        sandbox.until_free(&mut tracker, &path).await;
    }
}

#[tokio::test]
async fn a_message_in_flight_keeps_a_file_open() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked_by_nobody() else {
        return;
    };
    let (path, _) = sandbox.file("file");
    let (sender, receiver) = UnixStream::pair().expect("sockets");
    send(&sender, &File::open(&path).expect("opens"));
    watch(&mut tracker, &[&path]);
    assert_silent(&mut tracker).await;
    assert!(!sandbox.is_free(&path), "a descriptor is in flight");
    drop((sender, receiver));
    sandbox.until_free(&mut tracker, &path).await;
}

#[tokio::test]
async fn an_inode_that_is_forgotten_is_not_told_of() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let [(path, number), (other, _)] = ["file", "other"].map(|name| sandbox.file(name));
    let mut puppet = Puppet::new();
    puppet.open(3, &path);
    puppet.open(4, &path);
    watch(&mut tracker, &[&path, &other]);
    puppet.close(3);
    let news = news_within(&mut tracker, PATIENCE).await.expect("is told");
    assert_eq!(news.releases[0].inode, number);
    // The looks that were to come go, too.
    tracker.unwatch(number);
    puppet.close(4);
    assert_silent(&mut tracker).await;
    assert_eq!(tracker.health().watched, 1);

    puppet.open(3, &path);
    watch(&mut tracker, &[&path]);
    puppet.close(3);
    sandbox.until_free(&mut tracker, &path).await;
}

#[tokio::test]
async fn a_full_queue_is_told_as_a_loss() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked_by_nobody() else {
        return;
    };
    let queue = fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events")
        .map_or(16384, |text| text.trim().parse().expect("a number"));
    // Closes of one inode are merged, so it takes as many inodes as the queue has room for.
    let files: Vec<PathBuf> = (0..=queue)
        .map(|number: u32| sandbox.file(&number.to_string()).0)
        .collect();
    for chunk in files.chunks(512) {
        let paths: Vec<&Path> = chunk.iter().map(PathBuf::as_path).collect();
        watch(&mut tracker, &paths);
    }
    for file in &files {
        File::open(file).expect("opens");
    }
    let lost = async { while !tracker.news().await.lost {} };
    timeout(PATIENCE, lost).await.expect("the overflow is told");
    assert_eq!(tracker.health().lost(), 1);
}

#[tokio::test]
async fn a_volume_that_cannot_be_marked_is_named() {
    let Some(_) = Sandbox::tracked() else {
        return;
    };
    let error = FanotifyTracker::open(Path::new("/nowhere"), "a test").expect_err("is missing");
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[tokio::test]
async fn it_says_what_it_does_not_see() {
    let Some((_, tracker)) = Sandbox::tracked() else {
        return;
    };
    let health = tracker.health();
    assert_eq!((health.tracker, health.attached), ("fanotify", false));
    let missing = health.missing.expect("it is inexact");
    assert!(
        missing.contains("O_PATH") && missing.contains("a test"),
        "{missing}"
    );
    assert_eq!(tracker.holders(1), None);
}

/// A library that this program maps, to be mapped by another.
fn mapped_library() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").expect("reads");
    let path = maps
        .lines()
        .filter_map(|line| line.find('/').map(|start| &line[start..]))
        .find(|path| path.contains("libgcc_s") || path.contains("libm."));
    path.expect("a library is mapped").into()
}

/// In another process: a writable descriptor that a fork of this one inherits would make the copy
/// busy.
fn copy(source: &Path, target: &Path) {
    let status = Command::new("cp").arg(source).arg(target).status();
    assert!(status.expect("cp runs").success());
}

fn until_mapped(holder: &Child, path: &Path) {
    let start = std::time::Instant::now();
    let maps = format!("/proc/{}/maps", holder.id());
    let name = path.display().to_string();
    while !fs::read_to_string(&maps).expect("it runs").contains(&name) {
        assert!(start.elapsed() < PATIENCE, "{name} is not mapped");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // The loader closes its descriptor right after.
    std::thread::sleep(MOMENT);
}

fn send(socket: &UnixStream, file: &File) {
    let files = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    assert!(message.push(SendAncillaryMessage::ScmRights(&files)));
    sendmsg(
        socket,
        &[IoSlice::new(b"x")],
        &mut message,
        SendFlags::empty(),
    )
    .expect("sends");
}
