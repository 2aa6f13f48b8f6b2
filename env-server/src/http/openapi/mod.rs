//! Additions to the OpenAPI document that the descriptions of single routes cannot make.

mod anywhere;
mod exact;
mod items;
mod links;

use crate::config::ServerConfig;

/// Completes the document: limits in schemas, failures and headers of every operation, links.
pub(super) fn finish(document: &mut utoipa::openapi::OpenApi, config: &ServerConfig) {
    exact::make_exact(document, &config.limits);
    anywhere::add(document, config.service.access.is_some());
    links::add(document);
}
