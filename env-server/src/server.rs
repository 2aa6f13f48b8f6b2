//! The life of a server: open the data directory, serve, drain.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use service::server::{self, Listening, Routes};
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::http::{self, App, SharedApp};
use crate::openenv;

impl ServerConfig {
    /// Checks the settings before anything is served.
    ///
    /// # Errors
    /// [`Error::OpenEnv`], when there is no environment with that name and arguments, and
    /// [`service::Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        server::check_names(&self.service)?;
        openenv::check(self)
    }
}

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
    listening: Listening,
    app: SharedApp,
    routes: Routes,
}

impl Server {
    /// Reads the data directory, if any; nothing can fail after that.
    ///
    /// # Errors
    /// [`Error::Service`], as for [`Listening::check`], and when the data directory cannot be used
    /// or [`ServerConfig::check`] refuses the settings.
    pub fn open(listener: TcpListener, config: ServerConfig) -> Result<Self, Error> {
        let listening = Listening::check(listener, config.service.clone())?;
        let app = App::open(&config)?;
        let routes = http::routes(app.clone(), &config, openenv::routes(&app, &config)?);
        Ok(Server {
            listening,
            app,
            routes,
        })
    }

    /// Serves until `shutdown` completes, then drains: `/readyz` answers 503 for `drain_delay`;
    /// after that no connection is accepted, and requests in progress are answered for at most
    /// `drain_timeout`.
    ///
    /// Failures to accept connections are logged, and are not errors.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Server {
            listening,
            app,
            routes,
        } = self;
        // This task ends with the app.
        tokio::spawn(App::keep_house(Arc::downgrade(&app)));
        let drain_begins = async {
            shutdown.await;
            app.drain();
        };
        let served = listening.serve(routes, app.metrics(), &app.sockets, drain_begins);
        served.await;
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
    let routes = http::routes(app.clone(), config, openenv::routes(&app, config)?);
    let router = server::without_listener(routes, app.metrics(), &config.service)?;
    Ok(router)
}
