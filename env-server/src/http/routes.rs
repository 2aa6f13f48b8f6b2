//! All routes, and the document that describes them.

use axum::http::{HeaderValue, header};
use axum::routing::get;
use bytes::Bytes;
use env_protocol::{Encoding, StreamReply, StreamRequest};
use service::Routes;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::app::SharedApp;
use super::handlers::{envs, metrics, operations, specs, vector_envs};
use super::{home, openapi, stream};
use crate::config::ServerConfig;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Environment server",
        description = "Gym-style memory tasks over HTTP. Field names are Gymnasium's. Every operation on an \
                       environment carries a `seq`; repeating it with the same body returns the same reply, \
                       so a request may be repeated whenever in doubt. At least the last 64 operations of an \
                       environment are kept for that (fewer where they take more than 4 MiB with \
                       their states, but always the last one). Bodies are JSON or, several times faster \
                       for batches, MessagePack (`application/vnd.msgpack`). Errors are problem documents \
                       (RFC 9457), and an error changes nothing.",
    ),
    tags(
        (name = "specs", description = "The catalogue of tasks"),
        (name = "envs", description = "One environment behind an id"),
        (name = "vector-envs", description = "Many environments behind one id, one request a batch"),
        (name = "stream", description = "All of this on one WebSocket"),
        (name = "operations", description = "Health, version and metrics, for operators"),
    ),
    // No route has these as a body: they are the messages of the stream.
    components(schemas(StreamRequest, StreamReply)),
)]
struct Document;

/// Returns all routes with their descriptions.
fn described() -> OpenApiRouter<SharedApp> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(specs::list))
        .routes(routes!(specs::get, specs::describe))
        .routes(routes!(envs::create, envs::list))
        .routes(routes!(envs::put, envs::get, envs::close))
        .routes(routes!(envs::reset))
        .routes(routes!(envs::step))
        .routes(routes!(envs::snapshot))
        .routes(routes!(envs::restore))
        .routes(routes!(envs::lease))
        .routes(routes!(envs::fork))
        .routes(routes!(envs::trajectory))
        .routes(routes!(envs::render))
        .routes(routes!(envs::oracle))
        .routes(routes!(vector_envs::create, vector_envs::list))
        .routes(routes!(
            vector_envs::put,
            vector_envs::get,
            vector_envs::close
        ))
        .routes(routes!(vector_envs::reset))
        .routes(routes!(vector_envs::step))
        .routes(routes!(vector_envs::snapshot))
        .routes(routes!(vector_envs::restore))
        .routes(routes!(vector_envs::lease))
        .routes(routes!(vector_envs::fork))
        .routes(routes!(vector_envs::trajectory))
        .routes(routes!(vector_envs::render))
        .routes(routes!(vector_envs::oracle))
        .routes(routes!(stream::stream))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::version))
        .routes(routes!(metrics::scrape))
        .routes(routes!(operations::explain_problem))
}

/// Path of the OpenAPI document.
const DOCUMENT: &str = "/openapi.json";

/// Paths of the pages for people, which the document does not describe.
const DOCS_TEMPLATES: [&str; 4] = ["/", "/docs", "/docs/{*rest}", DOCUMENT];

/// Returns all routes of the server, including the `further` routes of another protocol.
pub(crate) fn routes(
    app: SharedApp,
    config: &ServerConfig,
    further: Option<OpenApiRouter<SharedApp>>,
) -> Routes {
    let mut routes = described();
    if let Some(further) = further {
        routes = routes.merge(further);
    }
    let (routes, mut document) = routes.split_for_parts();
    let mut templates: Vec<_> = document.paths.paths.keys().cloned().collect();
    templates.extend(DOCS_TEMPLATES.map(str::to_owned));
    openapi::finish(&mut document, config);
    let mut document = Encoding::Json.encode(&document);
    document.push(b'\n');
    let document = Bytes::from(document);
    let served = move || {
        let json = HeaderValue::from_static(Encoding::Json.content_type());
        std::future::ready(([(header::CONTENT_TYPE, json)], document.clone()))
    };
    let docs = SwaggerUi::new("/docs").config(Config::new([DOCUMENT]).try_it_out_enabled(true));
    let router = routes
        .with_state(app)
        .route("/", get(home::home))
        .route(DOCUMENT, get(served))
        .merge(docs);
    Routes { router, templates }
}

/// Returns the document that `/openapi.json` serves with the default settings.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = described().split_for_parts().1;
    openapi::finish(&mut document, &ServerConfig::default());
    document
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::{Value, json};
    use tokio::task::JoinHandle;
    use tower::ServiceExt;

    use super::*;

    use axum::http::StatusCode;

    use crate::http::app::{App, COARSE};
    use crate::session::Limits;

    struct Server {
        app: SharedApp,
        router: Router,
    }

    impl Server {
        fn with(config: &ServerConfig) -> Self {
            let app = App::open(config).unwrap();
            let router = routes(app.clone(), config, None).router;
            Server { app, router }
        }

        /// Sends a request from a task of its own.
        fn send(&self, method: &str, path: &str, body: Value) -> JoinHandle<(StatusCode, Value)> {
            let request = Request::builder().method(method).uri(path);
            let request = request.header(header::CONTENT_TYPE, "application/json");
            let request = request.body(Body::from(body.to_string())).unwrap();
            let router = self.router.clone();
            tokio::spawn(async move {
                let response = router.oneshot(request).await.unwrap();
                let status = response.status();
                let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                (status, serde_json::from_slice(&body).unwrap_or_default())
            })
        }

        async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
            self.send(method, path, body).await.unwrap()
        }

        /// Sends a request and checks the status of its reply.
        async fn expect(&self, method: &str, path: &str, body: Value, status: StatusCode) {
            let (found, reply) = self.ask(method, path, body).await;
            assert_eq!(found, status, "{method} {path}: {reply}");
        }
    }

    fn large() -> Value {
        json!({"spec_id": "RepeatFirst-v0", "num_envs": 8_192})
    }

    /// While every thread for long jobs is occupied, all quick requests are answered.
    #[tokio::test]
    async fn long_work_keeps_nothing_else_waiting() {
        let server = Server::with(&ServerConfig::default());
        let small = json!({"spec_id": "MemoryTask-v0"});
        let vector = "/v1/vector-envs/v";
        let created = StatusCode::CREATED;
        server.expect("PUT", vector, large(), created).await;
        let path = |name: &str| format!("{vector}/{name}");
        let (reset, ok) = (path("reset"), StatusCode::OK);
        server.expect("POST", &reset, json!({}), ok).await;
        let (_, snapshot) = server.ask("GET", &path("snapshot"), json!({})).await;
        let taken = server.app.bodies.aside().occupy().await;
        let actions = json!({"actions": vec![0; 8_192]});
        let long = [
            server.send("GET", &path("snapshot"), json!({})),
            server.send("GET", &path("trajectory"), json!({})),
            server.send("GET", "/v1/vector-envs", json!({})),
            server.send("POST", &path("step"), actions),
            server.send("POST", &path("reset"), json!({})),
            server.send("POST", &path("restore"), json!({"snapshot": snapshot})),
            server.send("POST", &path("fork"), json!({})),
            server.send("POST", &path("lease"), json!({})),
            server.send("POST", "/v1/vector-envs", large()),
        ];
        for i in 0..3 {
            let path = format!("/v1/envs/e{i}");
            for (method, path, body, status) in [
                ("GET", "/healthz", json!({}), StatusCode::OK),
                ("PUT", &path, small.clone(), StatusCode::CREATED),
                (
                    "POST",
                    &format!("{path}/reset"),
                    json!({"seq": 0}),
                    StatusCode::OK,
                ),
                (
                    "POST",
                    &format!("{path}/step"),
                    json!({"seq": 1, "action": 0}),
                    StatusCode::OK,
                ),
                (
                    "GET",
                    &format!("{path}/snapshot"),
                    json!({}),
                    StatusCode::OK,
                ),
                (
                    "POST",
                    &format!("{path}/fork"),
                    json!({}),
                    StatusCode::CREATED,
                ),
                ("GET", "/v1/vector-envs/v", json!({}), StatusCode::OK),
                ("GET", "/metrics", json!({}), StatusCode::OK),
                ("DELETE", &path, json!({}), StatusCode::NO_CONTENT),
            ] {
                server.expect(method, path, body, status).await;
            }
        }
        assert!(long.iter().all(|request| !request.is_finished()));
        drop(taken);
        for request in long {
            let (status, body) = request.await.unwrap();
            assert!(status.is_success(), "{status}: {body}");
        }
        assert_eq!(server.app.store.rooms_taken(), 0);
    }

    /// Large replies share the memory available; a single one always has enough.
    #[tokio::test]
    async fn large_replies_are_counted() {
        let limits = Limits {
            max_memory_bytes: 16 << 20,
            ..Limits::default()
        };
        let server = Server::with(&ServerConfig {
            limits,
            ..ServerConfig::default()
        });
        assert_eq!(
            server.ask("PUT", "/v1/vector-envs/v", large()).await.0,
            StatusCode::CREATED
        );
        let held = server.app.store.context().memory_bytes();
        let room = server.app.store.room((16 << 20) - held - 1_000).unwrap();
        let answers = async |expected: StatusCode| {
            for (method, name) in [
                ("GET", "snapshot"),
                ("GET", "trajectory"),
                ("POST", "reset"),
            ] {
                let path = format!("/v1/vector-envs/v/{name}");
                let (status, body) = server.ask(method, &path, json!({"seq": 0})).await;
                assert_eq!(status, expected, "{name}: {body}");
            }
        };
        answers(StatusCode::SERVICE_UNAVAILABLE).await;
        let (_, described) = server.ask("GET", "/v1/vector-envs/v", json!({})).await;
        assert_eq!(described["seq"], 0, "an error changes nothing");
        drop(room);
        answers(StatusCode::OK).await;
        assert_eq!(server.app.store.rooms_taken(), 0);
    }

    /// Plays one environment, a few and many side by side, with a repeated and a refused step.
    /// Returns all replies, and the time that passed: on the paused clock, and really.
    async fn played(config: &ServerConfig) -> (Vec<(StatusCode, Value)>, [Duration; 2]) {
        let server = Server::with(config);
        let (begun, really) = (tokio::time::Instant::now(), Instant::now());
        let mut replies = Vec::new();
        for (path, lanes) in [
            ("/v1/envs/e", 0),
            ("/v1/vector-envs/few", 3),
            ("/v1/vector-envs/many", 8_192),
        ] {
            let mut body = json!({"spec_id": "RepeatFirst-v0", "seed": 5});
            let mut step = json!({"seq": 1, "action": 0});
            if lanes > 0 {
                body["num_envs"] = json!(lanes);
                step = json!({"seq": 1, "actions": vec![0; lanes]});
            }
            for (method, path, body) in [
                ("PUT", path.to_owned(), body),
                ("POST", format!("{path}/reset"), json!({"seq": 0})),
                ("POST", format!("{path}/step"), step.clone()),
                ("POST", format!("{path}/step"), step),
                ("POST", format!("{path}/step"), json!({"seq": 2})),
                ("GET", format!("{path}/snapshot"), json!({})),
            ] {
                replies.push(server.ask(method, &path, body).await);
            }
        }
        (replies, [begun.elapsed(), really.elapsed()])
    }

    /// Simulated slowness is off by default. It changes no reply, and holds back nothing but new
    /// steps, for a time per lane.
    #[tokio::test(start_paused = true)]
    async fn simulated_slowness_changes_no_reply() {
        let (quick, [at_once, _]) = played(&ServerConfig::default()).await;
        let slow = ServerConfig {
            simulate_lane: Duration::from_millis(2),
            ..ServerConfig::default()
        };
        let (slow, [later, really]) = played(&slow).await;
        assert_eq!(quick, slow);
        assert_eq!(at_once, Duration::ZERO);
        let waits = [1, 3, 8_192].map(|lanes| Duration::from_millis(2 * lanes));
        let timed: Duration = waits.iter().map(|wait| wait.saturating_sub(COARSE)).sum();
        assert_eq!(later, timed);
        // A thread sleeps for the end of each, which no clock is paused for.
        assert!(really >= waits.iter().sum::<Duration>() - timed);
        let statuses: Vec<u16> = quick.iter().map(|(status, _)| status.as_u16()).collect();
        assert_eq!(statuses, [201, 200, 200, 200, 422, 200].repeat(3));
    }
}
