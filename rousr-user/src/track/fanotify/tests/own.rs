//! The agent's own closes: its probes wake nobody, and what it closed last for others is not lost.

use std::time::Instant;

use super::*;

/// Probes as the agent does for as long as it is told to look; gives the inodes of all looks.
async fn serve_until_silent(
    sandbox: &Sandbox,
    tracker: &mut FanotifyTracker,
    path: &Path,
) -> Vec<u64> {
    let longest_delay = Duration::from_millis(2500);
    let start = Instant::now();
    let mut looks = Vec::new();
    while let Some(news) = news_within(tracker, longest_delay).await {
        assert!(start.elapsed() < PATIENCE, "it never ends: {looks:?}");
        looks.extend(news.releases.iter().map(|release| release.inode));
        assert!(!sandbox.is_free(path));
    }
    looks
}

#[tokio::test]
async fn probes_make_no_endless_loop() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let (path, inode) = sandbox.file("file");
    let mut puppet = Puppet::new();
    puppet.open(3, &path);
    puppet.open(4, &path);
    watch(&mut tracker, &[&path]);
    puppet.close(3);
    let looks = serve_until_silent(&sandbox, &mut tracker, &path).await;
    assert!(looks.len() >= 5, "{looks:?}");
    assert!(looks.iter().all(|&seen| seen == inode), "{looks:?}");
    assert_eq!(tracker.looks.next(), None, "nothing is polled at rest");
}

#[tokio::test]
async fn a_close_of_our_own_without_a_look_is_looked_at_once_more() {
    let Some((sandbox, mut tracker)) = Sandbox::tracked() else {
        return;
    };
    let (path, _) = sandbox.file("file");
    let mut puppet = Puppet::new();
    puppet.open(3, &path);
    watch(&mut tracker, &[&path]);
    assert!(!sandbox.is_free(&path), "as a settle asks");
    let looks = serve_until_silent(&sandbox, &mut tracker, &path).await;
    assert!(!looks.is_empty());
    puppet.close(3);
    sandbox.until_free(&mut tracker, &path).await;
}
