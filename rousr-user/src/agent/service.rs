//! Where the agent is asked, for as long as it listens.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    belongings::{Belongings, listener},
    metrics::Metrics,
    server::{self, Call},
};

/// How long those who have asked may take to get and to read their answers, once nobody listens any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls that wait for the event loop.
const QUEUE: usize = 16;

/// Both sockets, served.
pub(super) struct Service {
    calls: mpsc::Receiver<Call>,
    control: JoinHandle<()>,
    metrics: JoinHandle<()>,
    /// Dropped to have the metrics' connections come to their end.
    metrics_on: Option<oneshot::Sender<()>>,
    /// When whoever has no answer yet is not waited for any more; `None` while they listen.
    end: Option<Instant>,
}

impl Service {
    pub(super) fn start(belongings: &Belongings, metrics: &Metrics) -> anyhow::Result<Self> {
        let (sender, calls) = mpsc::channel(QUEUE);
        let (metrics_on, metrics_off) = oneshot::channel();
        let stop = async {
            // It is dropped, never sent.
            let _ = metrics_off.await;
        };
        Ok(Self {
            calls,
            control: tokio::spawn(server::serve(listener(&belongings.control)?, sender)),
            metrics: tokio::spawn(metrics.serve(listener(&belongings.metrics)?, stop)),
            metrics_on: Some(metrics_on),
            end: None,
        })
    }

    /// Who connects from now on waits for another service of the same sockets.
    pub(super) fn stop_listening(&mut self) {
        self.control.abort();
        self.metrics_on = None;
        self.end.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// The next call; `None` once nobody listens and all are answered who have asked, or were waited for long
    /// enough. Cancelling the wait loses none.
    pub(super) async fn next(&mut self) -> Option<Call> {
        let Some(end) = self.end else {
            return self.calls.recv().await;
        };
        // Each connection can send until it has its answer.
        let call = timeout_at(end, self.calls.recv()).await.unwrap_or(None);
        if call.is_none() && !self.metrics.is_finished() {
            // Whoever does not take what he asked for is not waited for.
            let _ = timeout_at(end, &mut self.metrics).await;
            self.metrics.abort();
        }
        call
    }
}
