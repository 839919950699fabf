//! Records that the programs send.

use std::future;

use aya::maps::{MapData, RingBuf};
use rousr_ebpf::{Newcomer, Release};
use tokio::io::unix::AsyncFd;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Records taken from a ring buffer in one go, so that a flood cannot starve the agent's other work.
const MAX_BATCH: usize = 4096;

/// What one of the rings had.
pub(super) enum Records {
    Releases(Vec<Release>),
    Newcomers(Vec<Newcomer>),
}

/// Waits for records. Cancelling the wait loses none.
pub(super) async fn next<R: FromBytes + Immutable + KnownLayout>(
    ring: &mut AsyncFd<RingBuf<MapData>>,
) -> Vec<R> {
    let mut guard = match ring.readable_mut().await {
        Ok(guard) => guard,
        Err(error) => {
            tracing::error!(%error, "the ring buffer cannot be polled; restart the agent");
            return future::pending().await;
        }
    };
    let (records, is_empty) = drain(guard.get_inner_mut());
    if is_empty {
        // A record that came since makes this a no-op.
        guard.clear_ready();
    }
    records
}

/// Takes what is in the ring, at most [`MAX_BATCH`] records, and tells whether it is empty now.
fn drain<R: FromBytes + Immutable + KnownLayout>(ring: &mut RingBuf<MapData>) -> (Vec<R>, bool) {
    let mut records = Vec::new();
    for _ in 0..MAX_BATCH {
        let Some(item) = ring.next() else {
            return (records, true);
        };
        records.extend(R::read_from_bytes(&item).ok());
    }
    (records, false)
}
