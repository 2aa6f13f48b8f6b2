//! Signals: what ends the server, what ends it at once, and what makes it read its files again.

use crate::config::ServerConfig;

/// Completes on Ctrl-C or SIGTERM; a Ctrl-C after that ends the process at once. The handlers are
/// in place when this returns.
#[cfg(unix)]
pub fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            if interrupt.recv().await.is_some() {
                tracing::warn!("interrupted while draining");
                // What a shell reports of a program that Ctrl-C has ended.
                std::process::exit(130);
            }
        });
    })
}

/// Completes on Ctrl-C.
#[cfg(not(unix))]
pub fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without a handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// From now on SIGHUP reads tokens and certificate again, if there are any. The handler is in place
/// when this returns.
#[cfg(unix)]
pub fn reload_on_hangup(config: &ServerConfig) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    if config.access.is_none() && config.tls.is_none() {
        return Ok(());
    }
    let mut hangup = signal(SignalKind::hangup())?;
    let config = config.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload(&config);
        }
    });
    Ok(())
}

/// There is no SIGHUP here.
#[cfg(not(unix))]
pub fn reload_on_hangup(_: &ServerConfig) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn reload(config: &ServerConfig) {
    match config.access.as_ref().map(|access| access.reload()) {
        Some(Ok(principals)) => tracing::info!(principals, "tokens have been read again"),
        Some(Err(error)) => tracing::error!("tokens stay as they were: {error}"),
        None => {}
    }
    match config.tls.as_ref().map(|tls| tls.reload()) {
        Some(Ok(())) => tracing::info!("the certificate has been read again"),
        Some(Err(error)) => tracing::error!("the certificate stays as it was: {error}"),
        None => {}
    }
}
