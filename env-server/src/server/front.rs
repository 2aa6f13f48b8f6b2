//! What is settled before a route is looked at: who sends a request, and whether there is room.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, Problem};
use tower_service::Service;

use super::watch::{Overdue, Watch};
use crate::access::{Access, InFlight, Principal};
use crate::config::ServerConfig;
use crate::http::Routes;
use crate::http::problem::{self, Failure};
use crate::observe::{Metrics, Observe};

/// The routes behind the checks. One for all connections.
///
/// Written by hand and not as a tower of middleware: on the path of every request it allocates
/// nothing.
pub(crate) struct Front {
    router: Router,
    observe: Observe,
    access: Option<Arc<Access>>,
    metrics: Arc<Metrics>,
    in_flight: AtomicUsize,
    max_in_flight: usize,
}

impl Front {
    pub(crate) fn new(routes: Routes, metrics: &Arc<Metrics>, config: &ServerConfig) -> Self {
        let templates = routes.templates.iter().map(String::as_str);
        Front {
            observe: Observe::new(Arc::clone(metrics), templates),
            // Settles every route now, instead of at each request.
            router: routes.router.with_state(()),
            access: config.access.clone(),
            metrics: Arc::clone(metrics),
            in_flight: AtomicUsize::new(0),
            max_in_flight: config.max_requests_in_flight,
        }
    }

    /// Answers a request, and one of a watched connection in time.
    pub(crate) async fn answer(&self, request: Request, watch: Option<&Watch>) -> Response {
        let answer = async |request: Request| {
            let uri = request.uri().clone();
            let answer = async {
                let admitted = self.admitted(request);
                match watch {
                    None => admitted.await.into_response(),
                    Some(watch) => match watch.in_time(admitted).await {
                        Ok(answer) => answer.into_response(),
                        Err(overdue) => Failure::from(too_late(overdue)).into_response(),
                    },
                }
            };
            problem::written(uri.path(), answer).await
        };
        self.observe.answered(request, answer).await
    }

    /// Answers a request if it may be.
    async fn admitted(&self, mut request: Request) -> Result<Response, Failure> {
        let principal = self.authenticate(&request)?;
        if let Some(principal) = &principal {
            request.extensions_mut().insert(Arc::clone(principal));
        }
        let _under_way = self.admit(&request, principal.as_deref())?;
        let Ok::<_, Infallible>(response) = self.router.clone().call(request).await;
        Ok(response)
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

fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// What is answered without a token: probes, and what explains the server.
fn is_open(path: &str) -> bool {
    is_probe(path)
        || matches!(path, "/openapi.json" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/problems/")
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
