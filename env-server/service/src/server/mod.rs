//! The life of a server: accept, serve, drain.

mod acceptor;
mod connection;
mod exposure;
mod front;
mod gate;
mod probes;
mod routes;
mod unread;
mod watch;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::config::ServiceConfig;
use crate::error::Error;
use crate::observe::Metrics;
use crate::socket::Sockets;
use acceptor::{Acceptor, Backoff};
use front::Front;
use gate::Gate;

pub use exposure::check_exposure;
pub use gate::check as check_names;
pub use probes::{is_open, is_probe};
pub use routes::Routes;

/// A listener whose address and settings have been checked.
///
/// It serves HTTP/1.1, over TLS when the settings hold a certificate, and with tokens when they
/// hold any. Each request then has its [`Principal`](crate::access::Principal) in its extensions.
pub struct Listening {
    listener: TcpListener,
    gate: Gate,
    config: ServiceConfig,
}

impl Listening {
    /// Checks a listener and the settings, and logs a warning if clients are not protected.
    ///
    /// # Errors
    /// [`Error::Exposed`], as for [`check_exposure`]; [`Error::Serve`], when the listener has no
    /// address; and [`Error::Setting`], when a name or an origin is not valid.
    pub fn check(listener: TcpListener, config: ServiceConfig) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(Error::Serve)?;
        check_exposure(address, &config)?;
        if let Some(warning) = exposure::warning(address, &config) {
            tracing::warn!(%address, "{warning}");
        }
        let gate = Gate::new(Some(address), &config)?;
        Ok(Listening {
            listener,
            gate,
            config,
        })
    }

    /// Serves until `shutdown` completes, then drains: it continues to serve for `drain_delay`,
    /// then accepts no more connections and finishes work in progress for at most `drain_timeout`.
    ///
    /// Sockets are asked to close when the delay is over, and cut off when this returns. Failures
    /// to accept connections are logged, and are no error.
    pub async fn serve(
        self,
        routes: Routes,
        metrics: &Arc<Metrics>,
        sockets: &Sockets,
        shutdown: impl Future<Output = ()>,
    ) {
        let Listening {
            listener,
            gate,
            config,
        } = self;
        // Sockets are not part of the requests that opened them, and must not outlive the server.
        let _sockets = sockets.cut_off_on_drop();
        let drain_begins = async {
            shutdown.await;
            tracing::info!("draining");
            tokio::time::sleep(config.drain_delay).await;
            sockets.end();
        };
        let front = Front::new(routes, gate, metrics, &config);
        serve(listener, front, &config, drain_begins, sockets.closed()).await;
    }
}

/// Serves until `drain_begins` completes, and then finishes work in progress.
async fn serve(
    listener: TcpListener,
    front: Front,
    config: &ServiceConfig,
    drain_begins: impl Future<Output = ()>,
    sockets_closed: impl Future<Output = ()>,
) {
    let mut drain_begins = pin!(drain_begins);
    let mut acceptor = Acceptor::new(front, config);
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            () = &mut drain_begins => break,
            stream = backoff.accept(&listener) => acceptor.serve(stream),
            () = acceptor.clear_ended() => {}
        }
    }
    drop(listener);
    let drained = async {
        acceptor.drain().await;
        sockets_closed.await;
    };
    if timeout(config.drain_timeout, drained).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain timeout");
    }
}

/// Serves routes and drains when `shutdown` completes, as [`Listening::serve`] does. `/healthz` and
/// `/readyz` are answered without a token, however busy the server is.
///
/// `templates` are those of the routes, such as `/v1/sessions/{id}`, for logs.
///
/// # Errors
/// As [`Listening::check`].
pub async fn run_routes(
    listener: TcpListener,
    router: Router,
    templates: &[&str],
    config: &ServiceConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let listening = Listening::check(listener, config.clone())?;
    let routes = Routes {
        router,
        templates: templates.iter().map(|&t| t.to_owned()).collect(),
    };
    let (metrics, sockets) = (Arc::default(), Sockets::new(config.socket_times));
    listening.serve(routes, &metrics, &sockets, shutdown).await;
    Ok(())
}

/// Returns the routes behind the same checks, without a listener: for tests and for embedding in
/// another router.
///
/// Tokens, the limit on requests and the check of `Origin` apply here too. Limits on connections
/// and on time, and TLS, need a listener. Any `Host` is accepted unless the settings name some.
///
/// # Errors
/// [`Error::Setting`], when a name or an origin in the settings is not valid.
pub fn without_listener(
    routes: Routes,
    metrics: &Arc<Metrics>,
    config: &ServiceConfig,
) -> Result<Router, Error> {
    let gate = Gate::new(None, config)?;
    let front = Arc::new(Front::new(routes, gate, metrics, config));
    let answer = move |request: Request| async move { front.answer(request, None).await };
    Ok(Router::new().fallback(answer))
}

#[cfg(test)]
mod tests;
