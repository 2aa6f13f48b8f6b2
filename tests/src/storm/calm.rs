//! An undisturbed server in this thread that is asked everything once; its replies are the expected
//! ones.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use env_server::ServerConfig;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::request::{Reply, Request};

pub(super) struct Calm {
    app: Router,
    runtime: Runtime,
}

impl Calm {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let guard = runtime.enter();
        let app = env_server::app(&ServerConfig::default()).expect("a server without a journal");
        drop(guard);
        Self { app, runtime }
    }

    pub(super) fn ask(&self, request: &Request) -> Reply {
        let built = axum::http::Request::builder()
            .method(request.method())
            .uri(request.path())
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(request.body.clone()))
            .expect("a request");
        let app = self.app.clone();
        self.runtime.block_on(async move {
            let response = app.oneshot(built).await.expect("infallible");
            let status = response.status().as_u16();
            let is_replayed = response.headers().contains_key("idempotency-replayed");
            let body = to_bytes(response.into_body(), usize::MAX).await;
            let body = serde_json::from_slice(&body.expect("a body")).unwrap_or_default();
            Reply {
                status,
                is_replayed,
                body,
            }
        })
    }
}
