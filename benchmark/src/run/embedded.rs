//! An environment server in this process, for runs that name none.

use std::io;

use env_server::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::run::progress::tell;

/// A server on a free port of this machine; it ends when this is dropped.
pub struct EmbeddedServer {
    url: String,
    /// Dropping it ends the server: whoever plays on it is gone by then.
    _runtime: Runtime,
}

impl EmbeddedServer {
    /// Starts a server on threads of its own, one for every two cores: agents do most of the work.
    ///
    /// # Errors
    /// When the system gives no port or no threads.
    pub fn start() -> io::Result<Self> {
        Self::with(ServerConfig::default())
    }

    /// As [`EmbeddedServer::start`], with settings of one's own.
    ///
    /// # Errors
    /// As [`EmbeddedServer::start`].
    pub fn with(config: ServerConfig) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::start_with(config, (cores / 2).max(1))
    }

    /// Starts a server with these settings on so many threads of its own.
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

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}
