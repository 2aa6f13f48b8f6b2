//! A client of the router, in process or over a network.

use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response};
use env_protocol::{Encoding, Problem};
use env_server::ServerConfig;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// A client with its own server.
pub struct Client {
    transport: Transport,
}

enum Transport {
    Router(Router),
    Sockets {
        client: HttpClient<HttpConnector, Body>,
        address: SocketAddr,
        /// The server ends when this is dropped.
        _running: oneshot::Sender<()>,
    },
}

impl Transport {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self {
            Transport::Router(app) => app.clone().oneshot(request).await.expect("infallible"),
            Transport::Sockets {
                client, address, ..
            } => {
                let (mut parts, body) = request.into_parts();
                let url = format!("http://{address}{}", parts.uri);
                parts.uri = url.parse().expect("a URL");
                let response = client.request(Request::from_parts(parts, body)).await;
                response.expect("an answer").map(Body::new)
            }
        }
    }
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new() -> Self {
        Client::with(ServerConfig::default())
    }

    pub fn with(config: ServerConfig) -> Self {
        Client::of(env_server::app(&config).expect("a server"))
    }

    pub fn of(app: Router) -> Self {
        Client {
            transport: Transport::Router(app),
        }
    }

    /// Starts a server that listens on a port.
    pub fn over_sockets(config: ServerConfig) -> Self {
        let (running, stopped) = oneshot::channel();
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = async move { drop(stopped.await) };
        RUNTIME.spawn(env_server::run(listener, config, shutdown));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Client {
            transport: Transport::Sockets {
                client: HttpClient::builder(TokioExecutor::new()).build(connector),
                address,
                _running: running,
            },
        }
    }

    pub fn is_over_sockets(&self) -> bool {
        matches!(self.transport, Transport::Sockets { .. })
    }

    /// Sends any request. Headers are `name: value`.
    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: Vec<u8>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for header in headers {
            let (name, value) = header.split_once(": ").expect("name: value");
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        RUNTIME.block_on(async {
            let response = self.transport.answer(request).await;
            Reply {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response
                    .into_body()
                    .collect()
                    .await
                    .expect("a body")
                    .to_bytes(),
            }
        })
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Vec::new())
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], Vec::new())
    }

    pub fn put(&self, path: &str, body: Value) -> Reply {
        let json = ["content-type: application/json"];
        self.send("PUT", path, &json, body.to_string().into_bytes())
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.post_text(path, &body.to_string())
    }

    pub fn post_text(&self, path: &str, body: &str) -> Reply {
        let json = ["content-type: application/json"];
        self.send("POST", path, &json, body.as_bytes().to_vec())
    }

    /// Posts in an encoding and is answered in the same one.
    pub fn post_as<T: Serialize>(&self, encoding: Encoding, path: &str, body: &T) -> Reply {
        let content_type = format!("content-type: {}", encoding.content_type());
        self.send("POST", path, &[&content_type], encoding.encode(body))
    }
}

impl Reply {
    /// Returns a header, or the empty string if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    /// Returns the body of a success.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "{}: {text}", self.status);
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Decodes the body of a success in the encoding that its header names.
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        let encoding = match self.header("content-type") {
            "application/vnd.msgpack" => Encoding::MessagePack,
            _ => Encoding::Json,
        };
        encoding.decode(&self.body).expect("a body of that type")
    }

    /// Returns the body of a failure.
    pub fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem: Problem = serde_json::from_slice(&self.body).expect("a problem");
        assert_eq!(problem.status, self.status);
        problem
    }

    /// Returns status and code of a failure.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.problem().code.to_string())
    }
}
