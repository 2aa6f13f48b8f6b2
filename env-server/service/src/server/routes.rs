//! Routes as the server takes them.

use axum::Router;

/// Routes, and their names in logs and metrics.
#[derive(Debug)]
pub struct Routes {
    /// The routes.
    pub router: Router,
    /// Path templates of the routes, such as `/v1/envs/{env_id}`.
    pub templates: Vec<String>,
}
