//! Queries, and what answers those that take a while.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::http::codec::negotiate;
use crate::http::problem::Failure;
use crate::http::{Caller, SharedApp};
use crate::session::Session;
use environments::render::{Format, Picture, render};

/// Query of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Page {
    /// Only ids after this one; `next` of the page before.
    after: Option<String>,
    /// Most entries, 100 if left out and never more than 1,000.
    limit: Option<usize>,
}

impl Page {
    pub(in crate::http) fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    pub(in crate::http) fn limit(&self) -> usize {
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
pub(in crate::http) struct TrajectoryPage {
    /// Number of the first operation, the earliest that is kept if left out; `next` of the page
    /// before.
    from: Option<u64>,
    /// Most operations, 100 if left out and never more than 1,000.
    limit: Option<usize>,
}

impl TrajectoryPage {
    pub(in crate::http) fn from(&self) -> Option<u64> {
        self.from
    }

    pub(in crate::http) fn limit(&self) -> usize {
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
pub(in crate::http) struct RenderQuery {
    /// The only lane to show, from 0.
    lane: Option<usize>,
    /// Whether text has escape codes for colours; it has none if left out.
    #[serde(default)]
    colour: bool,
    /// Whether it leaves out what the agent does not see now, for a person who plays in its place.
    #[serde(default)]
    as_agent: bool,
}

impl RenderQuery {
    /// The picture of a session, as text unless an image is liked better.
    ///
    /// The session says what is in it, and can be played again while it is drawn.
    pub(in crate::http) async fn of(
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

/// The query of a request.
async fn query<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Failure> {
    let query = Query::from_request_parts(parts, state).await;
    let Query(query) = query
        .map_err(|rejection| Problem::new(ErrorCode::MalformedRequest, rejection.body_text()))?;
    Ok(query)
}
