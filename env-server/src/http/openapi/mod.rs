//! The OpenAPI document, generated from the very routes that are served.

mod anywhere;
mod exact;
mod links;
mod queries;
mod responses;

use env_protocol::{StreamReply, StreamRequest};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{SharedApp, envs, metrics, operations, specs, stream, vector_envs};
use crate::config::ServerConfig;

pub(super) use queries::{Page, RenderQuery, TrajectoryPage};
pub(super) use responses::{
    CreateProblems, DescribeProblems, OperationProblems, Png, ReadProblems,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Environment server",
        description = "Gym-style memory tasks behind HTTP. Field names are Gymnasium's. Every operation on an \
                       environment carries a `seq`; sent again with the same body it is answered as it was, \
                       so a request may be repeated after any doubt. At least the last 64 operations of an \
                       environment are kept for that (fewer where they take more than 4 MiB with \
                       their states, but always the last one). Bodies are JSON or, several times faster \
                       for batches, MessagePack (`application/vnd.msgpack`). Errors are problem documents \
                       (RFC 9457), and an error changes nothing.",
    ),
    tags(
        (name = "specs", description = "What can be created"),
        (name = "envs", description = "One environment behind an id"),
        (name = "vector-envs", description = "Many environments behind one id, one request a batch"),
        (name = "stream", description = "All of this on one WebSocket"),
        (name = "operations", description = "For those who run the server"),
    ),
    // No route has them as a body: they are the messages of the stream.
    components(schemas(StreamRequest, StreamReply)),
)]
struct Document;

/// All routes with their descriptions.
pub(super) fn routes() -> OpenApiRouter<SharedApp> {
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

/// The document that `/openapi.json` serves with the default settings.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().split_for_parts().1;
    finish(&mut document, &ServerConfig::default());
    document
}

/// Adds what the descriptions of single routes do not say.
pub(super) fn finish(document: &mut utoipa::openapi::OpenApi, config: &ServerConfig) {
    exact::make_exact(document, &config.limits);
    anywhere::add(document, config.service.access.is_some());
    links::add(document);
}

/// Every operation of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(|operation| operation.as_mut())
}
