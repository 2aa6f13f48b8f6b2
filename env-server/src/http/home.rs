//! The page at `/`.

use axum::http::HeaderMap;
use axum::response::Response;
use service::Home;

/// The page of this server.
pub(super) const HOME: Home = Home {
    title: "Environment server: memory tasks over HTTP",
    links: &[
        ("/docs", "every operation, to read about and try"),
        ("/openapi.json", "the same for programs"),
        ("/v1/specs", "the available environments"),
        ("/readyz", "whether it accepts new environments"),
    ],
    note: "PUT /v1/envs/mine creates an environment; POST /v1/envs/mine/reset and …/step play it.",
};

/// Answers `GET /`.
pub(super) async fn home(headers: HeaderMap) -> Response {
    HOME.page(&headers)
}
