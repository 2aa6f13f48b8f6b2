//! HTTPS, end to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env_server::{ServerConfig, ServiceConfig, Tls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{CREATE, Server, exchange, get, read_to_close, request};

/// Writes a new certificate for localhost, and its key; returns the certificate and both paths.
pub fn certify(folder: &Path) -> (CertificateDer<'static>, PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (made.cert.der().clone(), cert, key)
}

async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(service::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, server.connect().await).await
}

#[tokio::test]
async fn plays_over_tls_and_reloads_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (first, cert, key) = certify(folder.path());
    let tls = Arc::new(Tls::from_files(&cert, &key).unwrap());
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            tls: Some(Arc::clone(&tls)),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    })
    .await;
    let mut stream = connect(&server, &first).await.unwrap();
    let create = request("PUT", "/v1/envs/e", "", CREATE);
    assert_eq!(exchange(&mut stream, &create).await.status, 201);

    let (second, ..) = certify(folder.path());
    tls.reload().unwrap();
    assert!(connect(&server, &first).await.is_err());
    let mut renewed = connect(&server, &second).await.unwrap();
    for stream in [&mut stream, &mut renewed] {
        let reply = exchange(stream, &get("/v1/envs/e", "")).await;
        assert_eq!(reply.status, 200, "old connections continue");
    }
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (trusted, cert, key) = certify(folder.path());
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            tls: Some(Arc::new(Tls::from_files(&cert, &key).unwrap())),
            header_timeout: Duration::from_millis(200),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    })
    .await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_close(&mut silent).await, "");
    let mut plain = server.connect().await;
    plain
        .write_all(get("/healthz", "").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "plain HTTP is not answered");
    // It has served others in the meantime and still does.
    let mut stream = loop {
        if let Ok(stream) = connect(&server, &trusted).await {
            break stream;
        }
    };
    assert_eq!(
        exchange(&mut stream, &get("/healthz", "")).await.status,
        200
    );
}
