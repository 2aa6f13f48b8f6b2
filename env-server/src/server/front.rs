//! What is settled before a route is looked at: who sends a request, and whether there is room.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use env_protocol::{ErrorCode, Problem};
use tower_service::Service;

use super::watch::{Overdue, Watch};
use crate::access::{Access, InFlight, Principal};
use crate::config::ServerConfig;
use crate::http::{self, is_open, is_probe};
use crate::observe::Metrics;

/// The routes behind the checks. One for all connections.
///
/// Written by hand and not as a tower of middleware: on the path of every request it costs two
/// counters and, with tokens, a hash, and it allocates nothing.
pub(crate) struct Front {
    router: Router,
    access: Option<Arc<Access>>,
    metrics: Arc<Metrics>,
    in_flight: AtomicUsize,
    max_in_flight: usize,
}

impl Front {
    pub(crate) fn new(router: Router, metrics: &Arc<Metrics>, config: &ServerConfig) -> Self {
        Front {
            // Settles every route now, instead of at each request.
            router: router.with_state(()),
            access: config.access.clone(),
            metrics: Arc::clone(metrics),
            in_flight: AtomicUsize::new(0),
            max_in_flight: config.max_requests_in_flight,
        }
    }

    /// Answers a request of a watched connection, in time.
    pub(super) async fn answer_in_time(&self, request: Request, watch: &Watch) -> Response {
        let uri = request.uri().clone();
        match watch.in_time(self.answer(request)).await {
            Ok(response) => response,
            Err(overdue) => {
                let path = uri.path();
                tracing::debug!(path, ?overdue, "a request was given up");
                self.refuse(too_late(overdue), path)
            }
        }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        let principal = match self.authenticate(&request) {
            Ok(principal) => principal,
            Err(problem) => return self.refuse(problem, request.uri().path()),
        };
        if let Some(principal) = &principal {
            request.extensions_mut().insert(Arc::clone(principal));
        }
        let _under_way = match self.admit(&request, principal.as_deref()) {
            Ok(under_way) => under_way,
            Err(problem) => return self.refuse(problem, request.uri().path()),
        };
        let Ok::<_, Infallible>(response) = self.router.clone().call(request).await;
        response
    }

    fn refuse(&self, problem: Problem, path: &str) -> Response {
        self.metrics.problem(problem.code);
        http::respond(problem, path)
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Who sends it; nobody in particular where that does not matter.
    fn authenticate(&self, request: &Request) -> Result<Option<Arc<Principal>>, Problem> {
        match &self.access {
            Some(access) if !is_open(request.uri().path()) => {
                access.authenticate(request.headers()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Counts it as under way until the result is dropped.
    fn admit<'a>(
        &'a self,
        request: &Request,
        principal: Option<&'a Principal>,
    ) -> Result<(Option<InFlight<'a>>, Option<InFlight<'a>>), Problem> {
        if is_probe(request.uri().path()) {
            // A server with much to do is not dead: whoever watches it must be able to see that.
            return Ok((None, None));
        }
        let of_all = InFlight::begin(&self.in_flight, self.max_in_flight).ok_or_else(|| {
            let max = self.max_in_flight;
            let detail = format!("the server has {max} requests under way, its limit");
            Problem::new(ErrorCode::Overloaded, detail)
        })?;
        let of_principal = principal.map(Principal::begin_request).transpose()?;
        Ok((Some(of_all), of_principal))
    }
}

fn too_late(overdue: Overdue) -> Problem {
    match overdue {
        Overdue::Body { after_ms } => {
            let detail = format!("the body was not complete after {after_ms} ms");
            Problem::new(ErrorCode::SlowRequest, detail)
        }
        Overdue::Reply { after_ms } => {
            let detail = format!(
                "there was no answer after {after_ms} ms; if the operation has been applied it stays so, \
                 and its stored reply answers the same request"
            );
            Problem::new(ErrorCode::RequestTimeout, detail)
        }
    }
}
