//! Prometheus text on a Unix socket.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use tokio::net::UnixListener;

use super::sealing::Cause;
use crate::{hold::Caught, seal::Level, track::Health};

/// Where they are served.
pub const SOCKET: &str = "/run/rousr/metrics.sock";

/// What OpenMetrics calls its text.
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The agent's figures.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Arc<Mutex<Registry>>,
    level: Gauge,
    wanted: Gauge,
    holds: Gauge,
    bytes: Gauge,
    attached: Gauge,
    watched: Gauge,
    beside_levels: Family<[(&'static str, String); 1], Gauge>,
    beside_holds: Family<[(&'static str, String); 1], Gauge>,
    losses: Family<[(&'static str, &'static str); 1], Gauge>,
    releases: Gauge,
    resyncs: Gauge,
    corrections: Gauge,
    newcomers: Family<[(&'static str, &'static str); 1], Counter>,
    untold: Family<[(&'static str, &'static str); 1], Gauge>,
    /// Transactions finished.
    pub(super) transactions: Counter,
    /// Holds made.
    pub(super) preserved: Counter,
    /// Holds removed since their inode was not in use.
    pub(super) reaped: Counter,
    /// Seconds from the last release of an inode to the removal of its hold.
    pub(super) latency: Histogram,
    seal_tries: Family<[(&'static str, &'static str); 1], Counter>,
    /// Windows that were open.
    pub(super) windows: Counter,
    /// Seconds that one was.
    pub(super) window: Histogram,
    /// Holds removed in one.
    pub(super) window_reaps: Histogram,
    /// Failed steps.
    pub(super) errors: Counter,
}

/// Those of another volume.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) mount_point: String,
    pub(super) level: Level,
    pub(super) holds: usize,
}

impl Metrics {
    /// Of an agent whose tracker is in this state.
    pub(super) fn new(tracker: &Health) -> Self {
        let mut registry = Registry::with_prefix("rousr");
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "tracker",
            "What counts or tells of closes",
            Info::new([("tracker", tracker.tracker), ("hooks", tracker.hooks)]),
        );
        // One millisecond to half a minute.
        let latency = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        registry.register_with_unit(
            "reap_latency",
            "From the last release of an inode to the removal of its hold",
            Unit::Seconds,
            latency.clone(),
        );
        // A quarter of a millisecond to eight seconds.
        let window = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        registry.register_with_unit(
            "window",
            "How long the filesystem was writable for us alone",
            Unit::Seconds,
            window.clone(),
        );
        let window_reaps = Histogram::new(exponential_buckets(1.0, 2.0, 12));
        registry.register(
            "window_reaps",
            "Holds removed in one window",
            window_reaps.clone(),
        );
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let level = gauge(
            "seal_level",
            "Level reached: 0 open, 1 mount-sealed, 2 sealed",
        );
        let wanted = gauge("seal_level_wanted", "Level wanted outside of transactions");
        let holds = gauge("holds", "Preserved inodes");
        let bytes = gauge("hold_bytes", "Disk space the holds take");
        let attached = gauge(
            "tracker_attached",
            "Whether programs or marks are in the kernel",
        );
        let watched = gauge("tracker_watched", "Inodes whose holders are watched");
        let releases = gauge("tracker_releases", "Releases the kernel side told");
        let resyncs = gauge(
            "tracker_resyncs",
            "Times all counts were compared with the kernel's since an event was lost",
        );
        let corrections = gauge(
            "tracker_corrections",
            "Inodes that were counted anew since their count was too high",
        );
        let losses = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        registry.register(
            "tracker_losses",
            "Events the kernel side lost, by what lost them",
            losses.clone(),
        );
        let newcomers = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.register(
            "newcomers",
            "Files first opened while /usr was open, by what became of them",
            newcomers.clone(),
        );
        let untold = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        registry.register(
            "tracker_untold",
            "Openings of such files that were not told, by what was in the way",
            untold.clone(),
        );
        let seal_tries = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.register(
            "seal_tries",
            "Tries to seal what was blocked, by what led to them",
            seal_tries.clone(),
        );
        let mut of_mounts = |name, help| {
            let family = Family::<[(&'static str, String); 1], Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let beside_levels = of_mounts(
            "beside_seal_level",
            "Level of another filesystem below /usr, as seal_level",
        );
        let beside_holds = of_mounts("beside_holds", "Preserved inodes of another filesystem");
        let mut counter = |name, help| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let transactions = counter("transactions", "Transactions finished");
        let preserved = counter("holds_preserved", "Holds made");
        let reaped = counter(
            "holds_reaped",
            "Holds removed because nobody used their inode any more",
        );
        let windows = counter("windows", "Times the filesystem was writable for us alone");
        let errors = counter("errors", "Steps that failed; the log says which");
        Self {
            registry: Arc::new(Mutex::new(registry)),
            level,
            wanted,
            holds,
            bytes,
            attached,
            watched,
            beside_levels,
            beside_holds,
            losses,
            releases,
            resyncs,
            corrections,
            newcomers,
            untold,
            transactions,
            preserved,
            reaped,
            latency,
            seal_tries,
            windows,
            window,
            window_reaps,
            errors,
        }
    }

    pub(super) fn set_levels(&self, level: Level, wanted: Level) {
        self.level.set(level as i64);
        self.wanted.set(wanted as i64);
    }

    /// Files were opened while /usr was open.
    pub(super) fn caught(&self, caught: &Caught) {
        for (outcome, files) in [
            ("held", caught.names.len() as u64),
            ("already", caught.already),
            ("missed", caught.missed),
        ] {
            self.newcomers
                .get_or_create(&[("outcome", outcome)])
                .inc_by(files);
        }
    }

    /// A seal that was blocked was tried again.
    pub(super) fn tried_to_seal(&self, cause: Cause) {
        self.seal_tries
            .get_or_create(&[("cause", cause.as_str())])
            .inc();
    }

    pub(super) fn set_holds(&self, count: usize, bytes: u64) {
        self.holds.set(count.try_into().unwrap_or(i64::MAX));
        self.bytes.set(bytes.try_into().unwrap_or(i64::MAX));
    }

    /// Of the other volumes, all of them.
    pub(super) fn set_beside(&self, figures: Vec<Figures>) {
        self.beside_levels.clear();
        self.beside_holds.clear();
        for figure in figures {
            let label = [("mount_point", figure.mount_point)];
            let level = self.beside_levels.get_or_create(&label);
            level.set(figure.level as i64);
            let holds = self.beside_holds.get_or_create(&label);
            holds.set(figure.holds.try_into().unwrap_or(i64::MAX));
        }
    }

    pub(super) fn set_tracker(&self, health: &Health) {
        self.attached.set(health.attached.into());
        self.watched
            .set(health.watched.try_into().unwrap_or(i64::MAX));
        for (gauge, value) in [
            (&self.releases, health.releases),
            (&self.resyncs, health.resyncs),
            (&self.corrections, health.corrections),
        ] {
            gauge.set(value.try_into().unwrap_or(i64::MAX));
        }
        for (family, by_cause) in [
            (&self.losses, &health.losses),
            (&self.untold, &health.untold),
        ] {
            for (&cause, &count) in by_cause {
                let gauge = family.get_or_create(&[("cause", cause)]);
                gauge.set(count.try_into().unwrap_or(i64::MAX));
            }
        }
    }

    /// Serves `GET /metrics` on `listener` until `stop` is done; what was asked before is answered.
    pub(super) fn serve(
        &self,
        listener: UnixListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let router = Router::new()
            .route("/metrics", get(scrape))
            .with_state(Arc::clone(&self.registry));
        async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(stop);
            if let Err(error) = server.await {
                tracing::error!(%error, "the metrics are not served any more");
            }
        }
    }
}

async fn scrape(State(registry): State<Arc<Mutex<Registry>>>) -> impl IntoResponse {
    let mut text = String::new();
    let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    // Writing into a string fails only where a metric's own encoder does.
    match encode(&mut text, &registry) {
        Ok(()) => Ok(([(CONTENT_TYPE, CONTENT)], text)),
        Err(error) => Err((
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )),
    }
}
