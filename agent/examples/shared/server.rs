//! An environment server inside a program.

use std::{io, thread};

/// Starts a server on a free port, until the program ends. Returns its URL.
pub fn start() -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let config = env_server::ServerConfig::default();
    let serving = env_server::run(listener, config, std::future::pending());
    thread::spawn(move || runtime.block_on(serving));
    Ok(url)
}
