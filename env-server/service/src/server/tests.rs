//! Tests with routes that the real server does not have: slow handlers and large replies.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Serves `router` until the sender is dropped and draining has ended.
async fn start(
    router: Router,
    config: ServiceConfig,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let ends = async { drop(stopped.await) };
        let routes = Routes {
            router,
            templates: Vec::new(),
        };
        let gate = Gate::new(Some(address), &config).unwrap();
        let front = Front::new(routes, gate, &Arc::default(), &config);
        serve(listener, front, &config, ends, std::future::ready(())).await;
    });
    (address, stop, task)
}

async fn ask(stream: &mut TcpStream, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up_and_the_connection_kept() {
    let router = Router::new()
        .route(
            "/slow",
            post(|body: String| async move { pending::<String>().await + &body }),
        )
        .route("/quick", get(|| async { "quick" }));
    let config = ServiceConfig {
        request_timeout: Duration::from_millis(50),
        ..ServiceConfig::default()
    };
    let (address, _stop, _) = start(router, config).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let slow = "POST /slow HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\n{}";
        let reply = ask(&mut stream, slow, "}").await;
        assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
        assert!(reply.contains("retry-after: 1"), "{reply}");
        assert!(reply.contains("\"code\":\"request-timeout\""), "{reply}");
        assert!(reply.contains("\"instance\":\"/slow\""), "{reply}");
    }
    let reply = ask(
        &mut stream,
        "GET /quick HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        "quick",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

/// More than the buffers of two sockets hold.
const LARGE: usize = 64 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let router = Router::new().route("/large", get(|| async { vec![0_u8; LARGE] }));
    let config = ServiceConfig {
        idle_timeout: Duration::from_millis(100),
        ..ServiceConfig::default()
    };
    let (address, stop, task) = start(router, config).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.readable().await.unwrap();
    // Shutdown waits up to ten seconds for an answer that is being written.
    let began = std::time::Instant::now();
    drop(stop);
    task.await.unwrap();
    assert!(began.elapsed() < ServiceConfig::default().drain_timeout);
    let mut answer = Vec::new();
    // Depending on the system, the connection ends normally or with an error.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.is_empty() && answer.len() < LARGE,
        "{}",
        answer.len()
    );
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place_until_it_is_closed() {
    use axum::http::{StatusCode, header};
    let upgrade = get(|request: Request| async {
        tokio::spawn(async {
            let upgraded = hyper::upgrade::on(request).await.unwrap();
            let mut io = hyper_util::rt::TokioIo::new(upgraded);
            let mut byte = [0];
            while io.read(&mut byte).await.unwrap() > 0 {
                io.write_all(&byte).await.unwrap();
            }
        });
        let headers = [(header::UPGRADE, "echo"), (header::CONNECTION, "upgrade")];
        (StatusCode::SWITCHING_PROTOCOLS, headers)
    });
    let config = ServiceConfig {
        max_connections: 1,
        request_timeout: Duration::from_millis(50),
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..ServiceConfig::default()
    };
    let (address, _stop, _) = start(Router::new().route("/echo", upgrade), config).await;
    let request =
        "GET /echo HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let mut upgraded = TcpStream::connect(address).await.unwrap();
    let reply = ask(&mut upgraded, request, "\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 101 "), "{reply}");
    // The timeouts of requests do not apply after an upgrade.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&mut upgraded, "x", "x").await, "x");

    let mut other = TcpStream::connect(address).await.unwrap();
    let reply = ask(&mut other, request, "}").await;
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
    drop(upgraded);
    loop {
        let mut other = TcpStream::connect(address).await.unwrap();
        let reply = ask(&mut other, request, "\r\n\r\n").await;
        if reply.starts_with("HTTP/1.1 101 ") {
            break;
        }
    }
}

#[test]
fn only_loopback_goes_without_tokens() {
    let check = |address: &str, insecure: bool| {
        let config = ServiceConfig {
            insecure,
            ..ServiceConfig::default()
        };
        check_exposure(address.parse().unwrap(), &config)
    };
    for address in [
        "127.0.0.1:1",
        "127.8.8.8:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert!(check(address, false).is_ok(), "{address}");
    }
    for address in [
        "0.0.0.0:1",
        "[::]:1",
        "10.0.0.1:1",
        "[::ffff:10.0.0.1]:1",
        "[fe80::1]:1",
    ] {
        let refused = check(address, false).unwrap_err().to_string();
        assert!(refused.contains("--token-file"), "{refused}");
        assert!(check(address, true).is_ok(), "{address}");
    }
}

#[test]
fn what_others_could_do_or_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = write("cert.pem", &made.cert.pem());
    let key = write("key.pem", &made.signing_key.serialize_pem());
    let tokens = write("tokens.toml", "[a]\ntoken = \"a-0123456789abcdef\"");
    let access = crate::access::Access::from_file(&tokens).unwrap();
    let mut config = ServiceConfig::default();
    let (inside, outside) = (
        "127.0.0.1:1".parse().unwrap(),
        "10.0.0.1:1".parse().unwrap(),
    );
    assert!(
        exposure::warning(outside, &config)
            .unwrap()
            .contains("no tokens")
    );
    config.access = Some(Arc::new(access));
    assert!(
        exposure::warning(outside, &config)
            .unwrap()
            .contains("plain HTTP")
    );
    assert_eq!(exposure::warning(inside, &config), None);
    config.tls = Some(Arc::new(crate::tls::Tls::from_files(&cert, &key).unwrap()));
    assert_eq!(exposure::warning(outside, &config), None);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_connection_goes_on() {
    let router = Router::new()
        .route(
            "/panic",
            get(|| async { panic!("on purpose") as &'static str }),
        )
        .route("/quick", get(|| async { "quick" }));
    let config = ServiceConfig {
        max_requests_in_flight: 1,
        ..ServiceConfig::default()
    };
    let (address, _stop, _) = start(router, config).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let reply = ask(
            &mut stream,
            "GET /panic HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
            "}",
        )
        .await;
        assert!(reply.starts_with("HTTP/1.1 500 "), "{reply}");
        assert!(reply.contains("\"code\":\"internal\""), "{reply}");
        assert!(!reply.contains("on purpose"), "{reply}");
    }
    let reply = ask(
        &mut stream,
        "GET /quick HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        "quick",
    )
    .await;
    assert!(
        reply.starts_with("HTTP/1.1 200 "),
        "what it held is given back: {reply}"
    );
}
