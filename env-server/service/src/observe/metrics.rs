//! The metrics of a server, updated without locks on the path of requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{Method, StatusCode};
use env_protocol::{ErrorCode, OperationKind};

use super::figures::JournalStats;
use super::histogram::Histogram;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Returns the current count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Kinds of operations on environments, for `env_server_operations_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "one variant an operation")]
pub enum Work {
    Create,
    Reset,
    Step,
    Restore,
    Fork,
    Lease,
    Close,
}

impl Work {
    /// Every kind of work.
    pub const ALL: [Work; 7] = [
        Work::Create,
        Work::Reset,
        Work::Step,
        Work::Restore,
        Work::Fork,
        Work::Lease,
        Work::Close,
    ];

    /// Value of the label `operation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Work::Create => "create",
            Work::Reset => "reset",
            Work::Step => "step",
            Work::Restore => "restore",
            Work::Fork => "fork",
            Work::Lease => "lease",
            Work::Close => "close",
        }
    }
}

impl From<OperationKind> for Work {
    fn from(kind: OperationKind) -> Self {
        match kind {
            OperationKind::Reset => Work::Reset,
            OperationKind::Step => Work::Step,
            OperationKind::Restore => Work::Restore,
            OperationKind::Fork => Work::Fork,
        }
    }
}

/// State of a server's sessions at one moment, filled in by the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Environments by spec, kind and state; combinations without environments are left out.
    pub populations: Vec<Population>,
    /// Estimated bytes of all environments.
    pub memory_bytes: u64,
    /// Leases that have expired since the server started.
    pub leases_expired: u64,
    /// State of the journal, if there is a data directory.
    pub journal: Option<JournalStats>,
}

/// Environments of one spec, kind and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    /// Their spec.
    pub spec_id: String,
    /// `single` or `vector`.
    pub kind: &'static str,
    /// `new` (no operation yet), `idle`, `busy` (an operation is under way), `failed` or `expired`
    /// (about to be ended).
    pub state: &'static str,
    /// Number of environments.
    pub environments: u64,
    /// Number of lanes they have together.
    pub lanes: u64,
}

/// The metrics of one server. Each server has its own; none are global to the process.
#[derive(Debug)]
pub struct Metrics {
    pub(super) begun: SystemTime,
    pub(super) work: [Counter; Work::ALL.len()],
    /// Steps by spec.
    steps: Mutex<Vec<(Box<str>, Arc<Counter>)>>,
    pub(super) replays: Counter,
    problems: [Counter; ErrorCode::ALL.len()],
    routes: Mutex<Vec<Arc<RouteMetrics>>>,
    pub(super) requests_begun: Counter,
    pub(super) connections_opened: Counter,
    connections_closed: Counter,
    pub(super) journal_appends: Histogram,
    /// Set once, if there is a journal.
    pub(super) recovery: OnceLock<RecoveryFigures>,
}

/// The results of recovery when the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryFigures {
    /// How long recovery took.
    pub took: Duration,
    /// Environments recovered.
    pub recovered: u64,
    /// Environments lost.
    pub lost: u64,
    /// Damaged places in the journal.
    pub damaged: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            begun: SystemTime::now(),
            work: Default::default(),
            steps: Mutex::default(),
            replays: Counter::default(),
            problems: std::array::from_fn(|_| Counter::default()),
            routes: Mutex::default(),
            requests_begun: Counter::default(),
            connections_opened: Counter::default(),
            connections_closed: Counter::default(),
            journal_appends: Histogram::default(),
            recovery: OnceLock::new(),
        }
    }
}

impl Metrics {
    /// Counts an operation, when it is applied for the first time.
    pub fn done(&self, work: Work) {
        self.work[work as usize].one();
    }

    /// Returns the step counter of a spec. Environments keep it, because this takes a lock.
    pub fn steps(&self, spec_id: &str) -> Arc<Counter> {
        let mut steps = lock(&self.steps);
        let found = steps.iter().find(|(id, _)| **id == *spec_id);
        if let Some((_, counter)) = found {
            return Arc::clone(counter);
        }
        let counter = Arc::new(Counter::default());
        steps.push((spec_id.into(), Arc::clone(&counter)));
        counter
    }

    /// Counts a stored reply that was sent again.
    pub fn replayed(&self) {
        self.replays.one();
    }

    /// Counts a problem that was sent. The HTTP side counts its own.
    pub fn problem(&self, code: ErrorCode) {
        self.problems[code as usize].one();
    }

    /// Counts an accepted connection as open until the guard is dropped.
    pub fn connection(self: &Arc<Self>) -> OpenConnection {
        self.connections_opened.one();
        OpenConnection(Arc::clone(self))
    }

    /// Records the duration of an append to the journal.
    pub fn journal_appended(&self, duration: Duration) {
        self.journal_appends.record(duration);
    }

    /// Stores the results of recovery; only the first call counts.
    pub fn recovered(&self, figures: RecoveryFigures) {
        let _ = self.recovery.set(figures);
    }

    /// Returns the metrics of a route. Services keep them, because this takes a lock.
    pub(super) fn route(&self, template: &str) -> Arc<RouteMetrics> {
        let mut routes = lock(&self.routes);
        if let Some(route) = routes.iter().find(|route| &*route.template == template) {
            return Arc::clone(route);
        }
        let route = Arc::new(RouteMetrics::new(template));
        routes.push(Arc::clone(&route));
        route
    }

    pub(super) fn steps_by_spec(&self) -> Vec<(Box<str>, u64)> {
        let steps = lock(&self.steps);
        let counts = steps.iter().map(|(id, n)| (id.clone(), n.get()));
        counts.collect()
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let codes = ErrorCode::ALL.iter();
        codes.map(|&code| (code, self.problems[code as usize].get()))
    }

    pub(super) fn routes(&self) -> Vec<Arc<RouteMetrics>> {
        lock(&self.routes).clone()
    }

    /// Returns the number of requests whose reply has not begun.
    pub(super) fn requests_in_flight(&self) -> u64 {
        // Read the ends first, so that requests that begin meanwhile count as in flight.
        let ended: u64 = self.routes().iter().map(|route| route.count()).sum();
        self.requests_begun.get().saturating_sub(ended)
    }

    pub(super) fn connections(&self) -> u64 {
        let closed = self.connections_closed.get();
        self.connections_opened.get().saturating_sub(closed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Both lists only ever grow, by whole entries.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open connection.
#[derive(Debug)]
pub struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_closed.one();
    }
}

/// Methods counted separately; `other` stands for any method that a client may invent.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "other"];

/// Ways in which requests end, for the label `status`.
const STATUSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "dropped"];

/// The requests to one route.
#[derive(Debug)]
pub(super) struct RouteMetrics {
    template: Box<str>,
    by_method: [OnceLock<Box<Series>>; METHODS.len()],
}

/// The requests to one route with one method.
#[derive(Debug)]
pub(super) struct Series {
    /// Method and route, the name of a trace's span.
    pub(super) name: Box<str>,
    by_status: [Histogram; STATUSES.len()],
}

impl RouteMetrics {
    fn new(template: &str) -> Self {
        RouteMetrics {
            template: template.into(),
            by_method: Default::default(),
        }
    }

    /// Returns the route's template, with names for the variable parts.
    pub(super) fn template(&self) -> &str {
        &self.template
    }

    /// Returns the index of a request's method, for [`Self::series`].
    pub(super) fn method(method: &Method) -> usize {
        match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::POST => 2,
            Method::PUT => 3,
            Method::DELETE => 4,
            Method::OPTIONS => 5,
            _ => 6,
        }
    }

    pub(super) fn series(&self, method: usize) -> &Series {
        self.by_method[method].get_or_init(|| {
            Box::new(Series {
                name: format!("{} {}", METHODS[method], self.template).into(),
                by_status: Default::default(),
            })
        })
    }

    fn count(&self) -> u64 {
        let series = self.by_method.iter().filter_map(OnceLock::get);
        let histograms = series.flat_map(|series| &series.by_status);
        histograms.map(Histogram::count).sum()
    }

    /// Returns method, status and durations for every combination that occurred.
    pub(super) fn histograms(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &Histogram)> {
        let series = METHODS.iter().zip(&self.by_method);
        let series = series.filter_map(|(&method, series)| Some((method, series.get()?)));
        series.flat_map(|(method, series)| {
            let histograms = STATUSES.iter().zip(&series.by_status);
            histograms.map(move |(&status, histogram)| (method, status, histogram))
        })
    }
}

impl Series {
    /// Records that a reply began after `duration`, or that the client disconnected (`None`).
    pub(super) fn ended(&self, status: Option<StatusCode>, duration: Duration) {
        let index = match status {
            Some(status) => usize::from(status.as_u16() / 100).clamp(1, 5) - 1,
            None => STATUSES.len() - 1,
        };
        self.by_status[index].record(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_work_are_indices() {
        for (i, &code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(code as usize, i);
        }
        for (i, &work) in Work::ALL.iter().enumerate() {
            assert_eq!(work as usize, i);
        }
    }

    #[test]
    fn connections_close_with_their_guards() {
        let metrics = Arc::new(Metrics::default());
        let (first, second) = (metrics.connection(), metrics.connection());
        drop(first);
        assert_eq!(metrics.connections(), 1);
        assert_eq!(metrics.connections_opened.get(), 2);
        drop(second);
        assert_eq!(metrics.connections(), 0);
    }
}
