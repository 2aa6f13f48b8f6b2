//! Paths that are answered under conditions of their own.

/// Whether a path is answered however busy the server is.
pub fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Whether a path is answered without a token: probes, and pages that explain the server.
pub fn is_open(path: &str) -> bool {
    is_probe(path)
        || matches!(path, "/" | "/openapi.json" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/problems/")
}
