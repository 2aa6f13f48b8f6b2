//! `/metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use env_protocol::Problem;

use crate::http::app::SharedApp;
use crate::http::caller::FullCaller;
use service::aside::blocking;
use service::observe;
use service::problem::Failure;

/// Return the server's metrics for Prometheus
///
/// Prometheus' text format, version 0.0.4. `docs/observability.md` lists the metrics.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "operations",
    responses(
        (status = 200, description = "All metrics", body = String, content_type = "text/plain"),
        (status = 500, description = "internal", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn scrape(
    State(app): State<SharedApp>,
    _: FullCaller,
) -> Result<Response, Failure> {
    // Only one scrape runs at a time, however many are requested: each looks at every environment.
    let _turn = app.scrape.lock().await;
    let metrics = Arc::clone(app.metrics());
    let this = Arc::clone(&app);
    let text = blocking(move || Ok(observe::render(&metrics, this.store.census()))).await?;
    Ok(([(header::CONTENT_TYPE, observe::CONTENT_TYPE)], text).into_response())
}
