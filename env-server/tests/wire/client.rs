//! A client of the router, without a network.

use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use env_protocol::{Encoding, Problem};
use env_server::ServerConfig;
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Plays a server of its own.
pub struct Client {
    app: Router,
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
        Client { app }
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
            let response = self.app.clone().oneshot(request).await.expect("infallible");
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

    /// Posts in an encoding and is answered in it.
    pub fn post_as<T: Serialize>(&self, encoding: Encoding, path: &str, body: &T) -> Reply {
        let content_type = format!("content-type: {}", encoding.content_type());
        self.send("POST", path, &[&content_type], encoding.encode(body))
    }
}

impl Reply {
    /// The header, the empty string if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    /// The body of a success.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "{}: {text}", self.status);
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The body of a success in the encoding it says it has.
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        let encoding = match self.header("content-type") {
            "application/vnd.msgpack" => Encoding::MessagePack,
            _ => Encoding::Json,
        };
        encoding.decode(&self.body).expect("a body of that type")
    }

    /// The body of a failure.
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

    /// Status and code of a failure.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.problem().code.to_string())
    }
}
