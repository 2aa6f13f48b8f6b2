//! The operations of a document.

use utoipa::openapi::path::{Operation, PathItem};

/// Returns every operation of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(|operation| operation.as_mut())
}
