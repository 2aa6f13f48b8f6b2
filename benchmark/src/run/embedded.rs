//! An environment server in this process, for runs without `--server`.

use std::io;

use env_server::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::run::progress::tell;

/// A server on a free port of this machine; ends when it is dropped.
pub struct EmbeddedServer {
    url: String,
    /// Dropped to end the server, after all jobs that play on it.
    _runtime: Runtime,
}

impl EmbeddedServer {
    /// Starts a server with one thread for every two cores: the agents do most of the work.
    ///
    /// # Errors
    /// When no port is free or no thread can be started.
    pub fn start() -> io::Result<Self> {
        Self::with(ServerConfig::default())
    }

    /// As [`EmbeddedServer::start`], with these settings.
    ///
    /// # Errors
    /// As [`EmbeddedServer::start`].
    pub fn with(config: ServerConfig) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::start_with(config, (cores / 2).max(1))
    }

    /// Starts a server with these settings and number of threads.
    ///
    /// # Errors
    /// As [`EmbeddedServer::start`].
    pub fn start_with(config: ServerConfig, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("env-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}", listener.local_addr()?);
        runtime.spawn(async {
            let served = env_server::run(listener, config, std::future::pending());
            if let Err(error) = served.await {
                tell(&format!("the embedded server ended: {error}"));
            }
        });
        Ok(Self {
            url,
            _runtime: runtime,
        })
    }

    /// Returns the server's base URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}
