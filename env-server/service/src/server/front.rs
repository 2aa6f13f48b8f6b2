//! Checks made before routing: whether a request is admitted at all, who sends it, and whether
//! there is capacity for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, Problem};
use tower_service::Service;

use super::gate::Gate;
use super::probes::{is_open, is_probe};
use super::routes::Routes;
use super::watch::{Overdue, Watch};
use crate::access::{Access, InFlight, Principal};
use crate::config::ServiceConfig;
use crate::observe::{Metrics, Observe};
use crate::problem::{self, Failure};

/// The routes after the checks. All connections share one.
///
/// Written by hand and not as a tower of middleware, so that it allocates nothing on the path of a
/// request.
pub(crate) struct Front {
    router: Router,
    observe: Observe,
    gate: Gate,
    access: Option<Arc<Access>>,
    metrics: Arc<Metrics>,
    in_flight: AtomicUsize,
    max_in_flight: usize,
}

impl Front {
    pub(crate) fn new(
        routes: Routes,
        gate: Gate,
        metrics: &Arc<Metrics>,
        config: &ServiceConfig,
    ) -> Self {
        let templates = routes.templates.iter().map(String::as_str);
        Front {
            observe: Observe::new(Arc::clone(metrics), templates),
            // Resolves all routes now, instead of at each request.
            router: routes.router.with_state(()),
            gate,
            access: config.access.clone(),
            metrics: Arc::clone(metrics),
            in_flight: AtomicUsize::new(0),
            max_in_flight: config.max_requests_in_flight,
        }
    }

    /// Answers a request, within its time limits if the connection is watched.
    ///
    /// This is one function with its futures pinned in place: requests and the futures that answer
    /// them are large, and moving them through layers took a twentieth of a step's time.
    pub(crate) async fn answer(&self, mut request: Request, watch: Option<&Watch>) -> Response {
        let mut observed = self.observe.begin(&request);
        let uri = request.uri().clone();
        let (guest, principal) = match self.gate.let_in(&request) {
            Ok(guest) => (guest, self.authenticate(&mut request)),
            Err(problem) => (None, Err(problem)),
        };
        // Browsers send preflight requests without the token.
        let preflight = guest.as_ref().and_then(|guest| guest.preflight(&request));
        let admitted = principal
            .as_ref()
            .map_err(Problem::clone)
            .and_then(|principal| self.admit(uri.path(), principal.as_deref()));
        let response = match (preflight, admitted) {
            (Some(response), _) => response,
            (None, Err(problem)) => Failure::from(problem).into_response(),
            (None, Ok(_under_way)) => {
                let mut answer = pin!(self.router.clone().call(request));
                let polled = poll_fn(|cx| {
                    let _inside = observed.span().enter();
                    problem::poll_caught(answer.as_mut(), cx)
                });
                match watch {
                    None => polled.await,
                    Some(watch) => match watch.in_time(polled).await {
                        Ok(response) => response,
                        Err(overdue) => Failure::from(too_late(overdue)).into_response(),
                    },
                }
            }
        };
        let mut response = problem::written(response, uri.path());
        if let Some(guest) = guest {
            guest.may_read(&mut response);
        }
        observed.end(&mut response);
        response
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Identifies the sender and attaches it to the request for handlers. Returns `None` for open
    /// paths and for servers without tokens.
    fn authenticate(&self, request: &mut Request) -> Result<Option<Arc<Principal>>, Problem> {
        match &self.access {
            Some(access) if !is_open(request.uri().path()) => {
                let principal = access.authenticate(request.headers())?;
                request.extensions_mut().insert(Arc::clone(&principal));
                Ok(Some(principal))
            }
            _ => Ok(None),
        }
    }

    /// Counts the request as in flight until the result is dropped.
    fn admit<'a>(
        &'a self,
        path: &str,
        principal: Option<&'a Principal>,
    ) -> Result<(Option<InFlight<'a>>, Option<InFlight<'a>>), Problem> {
        if is_probe(path) {
            // A busy server is not dead, and probes must be able to see that.
            return Ok((None, None));
        }
        let of_all = InFlight::begin(&self.in_flight, self.max_in_flight).ok_or_else(|| {
            let max = self.max_in_flight;
            let detail = format!("the server has {max} requests in flight, its limit");
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
                "there was no answer after {after_ms} ms; if the operation was applied, it stays applied, \
                 and repeating the request returns its stored reply"
            );
            Problem::new(ErrorCode::RequestTimeout, detail)
        }
    }
}
