//! Signals: graceful shutdown, immediate exit, and rereading files.

use crate::config::ServiceConfig;

/// Completes on Ctrl-C or SIGTERM; a Ctrl-C after that ends the process at once. The handlers are
/// in place when this returns. A SIGTERM that is ignored when the process starts stays ignored; a
/// Ctrl-C does not, since shells ignore it for commands that a script starts with `&`.
///
/// # Errors
/// When a handler cannot be installed.
#[cfg(unix)]
pub fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let terminate = SignalKind::terminate();
    let mut terminate = match host_process::ignores(terminate.as_raw_value()) {
        true => None,
        false => Some(signal(terminate)?),
    };
    Ok(async move {
        let terminated = async {
            match &mut terminate {
                Some(terminate) => terminate.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminated => {}
        }
        tokio::spawn(async move {
            if interrupt.recv().await.is_some() {
                tracing::warn!("interrupted while draining");
                // The status that a shell reports for a program ended by Ctrl-C.
                std::process::exit(130);
            }
        });
    })
}

/// Completes on Ctrl-C.
#[cfg(not(unix))]
pub fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without a handler, only the end of the process remains to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Makes SIGHUP reread tokens and certificate, if there are any; also under `nohup`, since SIGHUP
/// then does not end the process. Without any, SIGHUP is left as it is: ignored under `nohup`. The
/// handler is in place when this returns.
///
/// # Errors
/// When the handler cannot be installed.
#[cfg(unix)]
pub fn reload_on_hangup(config: &ServiceConfig) -> std::io::Result<()> {
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

/// Does nothing: there is no SIGHUP here.
#[cfg(not(unix))]
pub fn reload_on_hangup(_: &ServiceConfig) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn reload(config: &ServiceConfig) {
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
