//! The life of a server: accept, serve, drain.

mod acceptor;
mod connection;
mod front;
mod gate;
mod unread;
mod watch;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::http::{self, App, Routes, SharedApp};
use acceptor::{Acceptor, Backoff};
use front::Front;
use gate::Gate;

pub(crate) use gate::check as check_names;

/// Opens a [`Server`] and serves.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use env_server::{ServerConfig, run};
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// println!("listening on http://{}", listener.local_addr()?);
/// run(listener, ServerConfig::default(), std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Server::open`].
pub async fn run(
    listener: TcpListener,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    Server::open(listener, config)?.serve(shutdown).await;
    Ok(())
}

/// A server that has read its data directory and is ready to serve.
///
/// It speaks HTTP/1.1, over TLS if the settings say so. If the settings have tokens, each request
/// has its [`Principal`](crate::Principal) in its extensions.
pub struct Server {
    listener: TcpListener,
    config: ServerConfig,
    app: SharedApp,
    routes: Routes,
    gate: Gate,
}

impl Server {
    /// Reads the data directory, if any; nothing can fail after that.
    ///
    /// # Errors
    /// [`Error::Exposed`], as for [`check_exposure`]; [`Error::Serve`] when the listener has no
    /// address; and when the data directory cannot be used or [`ServerConfig::check`] refuses the
    /// settings.
    pub fn open(listener: TcpListener, config: ServerConfig) -> Result<Self, Error> {
        let gate = check_listener(&listener, &config)?;
        let app = App::open(&config)?;
        let routes = http::routes(app.clone(), &config)?;
        Ok(Server {
            listener,
            config,
            app,
            routes,
            gate,
        })
    }

    /// Serves until `shutdown` completes, then drains: `/readyz` answers 503 for `drain_delay`;
    /// after that no connection is accepted, and requests in progress are answered for at most
    /// `drain_timeout`.
    ///
    /// If connections cannot be accepted for a while, this is logged and is not an error.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Server {
            listener,
            config,
            app,
            routes,
            gate,
        } = self;
        // Sockets are not part of the requests that opened them, and must not outlive the server.
        let _sockets = app.sockets.cut_off_on_drop();
        // This task ends with the app.
        tokio::spawn(App::keep_house(Arc::downgrade(&app)));
        let drain_begins = async {
            shutdown.await;
            app.drain();
            tracing::info!("draining");
            tokio::time::sleep(config.drain_delay).await;
            app.sockets.end();
        };
        let front = Front::new(routes, gate, app.metrics(), &config);
        serve(listener, front, &config, drain_begins, app.sockets.closed()).await;
    }
}

/// Serves until `drain_begins` completes, and then finishes work in progress.
async fn serve(
    listener: TcpListener,
    front: Front,
    config: &ServerConfig,
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

/// Returns the server as a service, without a listener: for tests and for embedding in another
/// router.
///
/// Tokens, the limit on requests and the check of `Origin` apply here too. Limits on connections
/// and on time, and TLS, are part of [`run`]. Any `Host` is accepted unless the settings name some.
///
/// # Errors
/// When the data directory cannot be used, or [`ServerConfig::check`] refuses the settings.
pub fn app(config: &ServerConfig) -> Result<Router, Error> {
    let app = App::open(config)?;
    let routes = http::routes(app.clone(), config)?;
    let gate = Gate::new(None, config)?;
    let front = Arc::new(Front::new(routes, gate, app.metrics(), config));
    let answer = move |request: Request| async move { front.answer(request, None).await };
    Ok(Router::new().fallback(answer))
}

/// Serves the routes of another program in the way [`run`](crate::run) serves this one's, and
/// drains when `shutdown` completes. `/healthz` and `/readyz` are answered without a token, however
/// busy the server is.
///
/// `templates` are those of the routes, such as `/v1/sessions/{id}`, for use in logs. Settings
/// about environments have no effect here.
///
/// # Errors
/// [`Error::Exposed`] and [`Error::Serve`], as [`run`](crate::run).
pub async fn run_routes(
    listener: TcpListener,
    router: Router,
    templates: &[&str],
    config: &ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let gate = check_listener(&listener, config)?;
    let drain_begins = async {
        shutdown.await;
        tracing::info!("draining");
        tokio::time::sleep(config.drain_delay).await;
    };
    let metrics = Arc::default();
    let routes = http::Routes {
        router,
        templates: templates.iter().map(|&t| t.to_owned()).collect(),
    };
    let front = Front::new(routes, gate, &metrics, config);
    serve(
        listener,
        front,
        config,
        drain_begins,
        std::future::ready(()),
    )
    .await;
    Ok(())
}

/// Refuses a listener that is exposed, or warns about it; returns the gate for its address.
fn check_listener(listener: &TcpListener, config: &ServerConfig) -> Result<Gate, Error> {
    let address = listener.local_addr().map_err(Error::Serve)?;
    check_exposure(address, config)?;
    if let Some(warning) = exposure(address, config) {
        tracing::warn!(%address, "{warning}");
    }
    Gate::new(Some(address), config)
}

/// Refuses an address that other machines can reach when there are no tokens to identify clients.
///
/// # Errors
/// [`Error::Exposed`], when the address is not loopback, there are no tokens, and the settings do
/// not say `insecure`.
pub fn check_exposure(address: SocketAddr, config: &ServerConfig) -> Result<(), Error> {
    match is_loopback(address) || config.access.is_some() || config.insecure {
        true => Ok(()),
        false => Err(Error::Exposed(address)),
    }
}

/// Returns a warning if strangers may do everything, or if what clients send could be read in
/// transit.
fn exposure(address: SocketAddr, config: &ServerConfig) -> Option<&'static str> {
    match (&config.access, &config.tls) {
        _ if is_loopback(address) => None,
        (None, _) => {
            Some("there are no tokens: anyone who can reach this address may do everything")
        }
        (Some(_), None) => Some(
            "tokens arrive over plain HTTP: give --tls-cert and --tls-key, or put a TLS proxy in \
             front of the server",
        ),
        (Some(_), Some(_)) => None,
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    // An IPv4 address may be written as IPv6.
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
