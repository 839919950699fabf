//! The other read-only filesystems below /usr: each has an event loop of its own, and takes part in
//! every transaction.

use std::{future::poll_fn, io, pin::Pin, rc::Rc, task::Poll};

use super::{
    event_loop::{Done, EventLoop},
    metrics::{Figures, Metrics},
    protocol::{Reply, Request},
    status::Status,
};
use crate::{
    seal::Volume,
    track::{Tracker, survey::Surveyor},
    transaction::{Error, HostKeeper},
};

/// Makes the tracker of a volume.
pub(super) type Open<T> = Rc<dyn Fn(&HostKeeper) -> anyhow::Result<T>>;

/// The event loops.
pub(super) struct Beside<T> {
    /// None for one of the loops themselves: it has no others.
    open: Option<Open<T>>,
    loops: Vec<EventLoop<T>>,
    /// What cannot be tracked, so that it is told once.
    refused: Vec<Volume>,
}

impl<T: Tracker> Beside<T> {
    /// None yet.
    pub(super) fn new(open: Open<T>) -> Self {
        Self {
            open: Some(open),
            loops: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn none() -> Self {
        Self {
            open: None,
            loops: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Looks for volumes that have come or gone.
    pub(super) fn look(&mut self, keeper: &HostKeeper) {
        let Some(open) = self.open.clone() else {
            return;
        };
        let keepers = match keeper.beside() {
            Ok(keepers) => keepers,
            Err(error) => return tracing::error!("{error}"),
        };
        self.loops
            .retain(|events| keepers.iter().any(|keeper| events.keeps(keeper.volume())));
        self.refused
            .retain(|volume| keepers.iter().any(|keeper| keeper.volume() == volume));
        for keeper in keepers {
            let is_kept = self
                .loops
                .iter()
                .any(|events| events.keeps(keeper.volume()));
            if !is_kept && !self.refused.contains(keeper.volume()) {
                self.add(keeper, &open);
            }
        }
        self.loops
            .sort_by(|one, other| one.volume().mount_point.cmp(&other.volume().mount_point));
    }

    fn add(&mut self, keeper: HostKeeper, open: &Open<T>) {
        let volume = keeper.volume();
        let mount_point = volume.mount_point.display();
        match open(&keeper) {
            Ok(tracker) => {
                tracing::info!("{mount_point} is kept read-only, too");
                let metrics = Metrics::new(&tracker.health());
                let mut events = EventLoop::new(keeper, tracker, metrics, Self::none(), false);
                events.start();
                self.loops.push(events);
            }
            Err(error) => {
                tracing::error!("{mount_point} is left as it is: {error:#}");
                self.refused.push(volume.clone());
            }
        }
    }

    /// Waits for the next event of one of them, and has it dealt with.
    pub(super) async fn turn(&mut self) {
        let turns = self.loops.iter_mut();
        let mut turns: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = turns
            .map(|events| -> Pin<Box<dyn Future<Output = ()> + '_>> { Box::pin(events.turn()) })
            .collect();
        poll_fn(|context| {
            let mut polled = turns.iter_mut().map(|turn| turn.as_mut().poll(context));
            match polled.any(|poll| poll.is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Has each of them take the step that the agent has taken. Where /usr cannot be opened nothing is.
    pub(super) fn follow(&mut self, request: &Request, stream: &[u8], reply: &mut Reply) {
        let is_opening = matches!(request, Request::Begin { .. } | Request::Open(_));
        if is_opening && matches!(reply, Reply::Error(_)) {
            return;
        }
        for events in &mut self.loops {
            let result = match events.take_step(request, stream) {
                Reply::Done(outcome) => Ok(outcome),
                Reply::Error(error) => Err(error),
                _ => continue,
            };
            if let Reply::Done(outcome) = reply {
                outcome.add(&events.volume().mount_point, result);
            }
        }
    }

    /// The state of each, and what tells who uses it.
    pub(super) fn states(&mut self) -> Vec<(Volume, Result<Status, Error>, io::Result<Surveyor>)> {
        let state = |events: &mut EventLoop<T>| {
            let (status, surveyor) = events.state();
            (events.volume().clone(), status, surveyor)
        };
        self.loops.iter_mut().map(state).collect()
    }

    /// How much is done of the least that is.
    pub(super) fn is_done(&self) -> Done {
        let done = self.loops.iter().map(EventLoop::is_done);
        done.min().unwrap_or(Done::All)
    }

    /// The figures of each.
    pub(super) fn figures(&self) -> Vec<Figures> {
        self.loops.iter().filter_map(EventLoop::figures).collect()
    }
}
