//! The page at `/`.

use axum::http::HeaderMap;
use axum::response::Response;
use service::Home;

/// Of this server.
pub(super) const HOME: Home = Home {
    title: "Environment server: memory tasks behind HTTP",
    links: &[
        ("/docs", "every operation, to read and to try"),
        ("/openapi.json", "the same for programs"),
        ("/v1/specs", "the environments there are"),
        ("/readyz", "whether it takes new environments"),
    ],
    note: "PUT /v1/envs/mine makes an environment, POST /v1/envs/mine/reset and …/step play it.",
};

/// Answers `GET /`.
pub(super) async fn home(headers: HeaderMap) -> Response {
    HOME.page(&headers)
}
