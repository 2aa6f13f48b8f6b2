//! From a listener to an end: accept, serve, drain.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::http::{self, App};

/// Serves until `shutdown` completes, then drains: `/readyz` says 503 for `drain_delay`, after
/// which nothing new is accepted and work under way is answered, for `drain_timeout` at most.
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
/// When the data directory cannot be used or [`ServerConfig::check`] refuses the settings, or
/// accepting connections fails for good.
pub async fn run(
    listener: TcpListener,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let app = App::open(&config)?;
    let router = http::router(app.clone(), &config)?;
    // Sockets are no part of the requests that opened them, and must not outlive the server.
    let _sockets = app.sockets.cut_off_on_drop();
    let sockets = app.clone();
    let (drain_delay, drain_timeout) = (config.drain_delay, config.drain_timeout);
    // It ends with the app.
    tokio::spawn(App::keep_house(Arc::downgrade(&app)));
    // Replies are small and waited for: they must not wait for one another.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let (draining, drain_begun) = oneshot::channel();
    let drain = async move {
        shutdown.await;
        app.drain();
        tracing::info!("draining");
        tokio::time::sleep(drain_delay).await;
        app.sockets.end();
        // The receiver is gone only when the server has ended by itself.
        let _ = draining.send(());
    };
    let overdue = async move {
        match drain_begun.await {
            Ok(()) => tokio::time::sleep(drain_timeout).await,
            Err(_) => std::future::pending().await,
        }
    };
    let serve = async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(drain);
        let served = served.await.map_err(Error::Serve);
        sockets.sockets.closed().await;
        served
    };
    tokio::select! {
        served = serve => served,
        () = overdue => {
            tracing::warn!("connections were still open at the end of the drain timeout");
            Ok(())
        }
    }
}

/// The server as a service, without a listener: for tests and for embedding in another router.
///
/// # Errors
/// When the data directory cannot be used, or [`ServerConfig::check`] refuses the settings.
pub fn app(config: &ServerConfig) -> Result<Router, Error> {
    http::router(App::open(config)?, config)
}
