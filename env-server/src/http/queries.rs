//! Query parameters, and the rendering of pictures.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::app::SharedApp;
use super::caller::Caller;
use crate::session::Session;
use environments::render::{Format, Picture, render};
use service::codec::negotiate;
use service::problem::Failure;

/// Query of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only ids after this one; `next` of the previous page.
    after: Option<String>,
    /// Most entries; 100 if omitted, at most 1,000.
    limit: Option<usize>,
}

impl Page {
    pub(super) fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        query(parts, state).await
    }
}

/// Query of a trajectory.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrajectoryPage {
    /// Number of the first operation; the earliest one kept if omitted; `next` of the previous
    /// page.
    from: Option<u64>,
    /// Most operations; 100 if omitted, at most 1,000.
    limit: Option<usize>,
}

impl TrajectoryPage {
    pub(super) fn from(&self) -> Option<u64> {
        self.from
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TrajectoryPage {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        query(parts, state).await
    }
}

/// Query of a picture.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RenderQuery {
    /// The only lane to show, from 0.
    lane: Option<usize>,
    /// Whether text contains escape codes for colours; false if omitted.
    #[serde(default)]
    colour: bool,
    /// Whether to leave out what the agent does not currently see, for a person who plays in its
    /// place.
    #[serde(default)]
    as_agent: bool,
}

impl RenderQuery {
    /// Returns the picture of a session, as text unless an image is preferred.
    ///
    /// The session describes the picture, and may be played again while it is drawn.
    pub(super) async fn picture(
        self,
        app: &SharedApp,
        caller: &Caller,
        session: Arc<Session>,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let format = match negotiate(headers, ["text/plain", "image/png"])? {
            0 => Format::Ansi {
                has_colour: self.colour,
            },
            _ => Format::Png,
        };
        app.aside(caller, move || {
            let mut pictures = session.pictures(self.lane)?;
            if self.as_agent {
                let seen = pictures.into_iter().map(Picture::as_the_agent_sees);
                pictures = seen.collect();
            }
            let (content_type, bytes) = render(&pictures, format);
            Ok(([(header::CONTENT_TYPE, content_type)], bytes).into_response())
        })
        .await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RenderQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        query(parts, state).await
    }
}

/// Parses the query of a request.
async fn query<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Failure> {
    let query = Query::from_request_parts(parts, state).await;
    let Query(query) = query
        .map_err(|rejection| Problem::new(ErrorCode::MalformedRequest, rejection.body_text()))?;
    Ok(query)
}
