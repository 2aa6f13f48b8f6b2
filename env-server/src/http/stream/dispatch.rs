//! Dispatch of a message to the handler of the HTTP route that it names, and of the reply back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use env_protocol::{
    Encoding, EnvelopeError, ErrorCode, Problem, StreamId, StreamKind, StreamOp, StreamReply,
    StreamRequest,
};
use futures_util::FutureExt;
use serde::Deserialize;

use crate::http::app::SharedApp;
use crate::http::caller::Caller;
use crate::http::handlers::{envs, vector_envs};
use service::IDEMPOTENCY_REPLAYED;
use service::aside::Note;
use service::bodies::Bodies;
use service::codec::{self, Accept, Call};
use service::problem::{self, Failure};
use service::room::Room;

/// Path of the route.
pub(super) const PATH: &str = "/v1/stream";

/// A message with everything needed to answer it.
pub(super) struct StreamCall {
    id: StreamId,
    op: StreamOp,
    kind: StreamKind,
    env_id: Option<String>,
    body: Bytes,
    encoding: Encoding,
    /// The memory reservation of a large body, or the problem if there is no memory for it.
    room: Result<Option<Room>, Problem>,
}

impl StreamCall {
    /// Decodes a message except for its body.
    ///
    /// # Errors
    /// The reply that describes the error.
    pub(super) fn read(
        encoding: Encoding,
        message: &Bytes,
        bodies: &Bodies,
    ) -> Result<Self, Vec<u8>> {
        let mut room = None;
        let counted = bodies.count(&mut room, message.len());
        match StreamRequest::decode(encoding, message) {
            Ok(request) => Ok(StreamCall {
                room: counted.map(|()| room),
                body: message.slice_ref(request.body),
                id: request.id,
                op: request.op,
                kind: request.kind,
                env_id: request.env_id,
                encoding,
            }),
            Err(EnvelopeError { id, error }) => {
                let problem = codec::problem(error);
                Err(refusal(encoding, id, problem, PATH.to_owned()))
            }
        }
    }

    /// Returns the environment that the message is about.
    pub(super) fn target(&self) -> Option<(StreamKind, String)> {
        self.env_id.clone().map(|id| (self.kind, id))
    }

    /// Runs the operation and returns the reply, with its memory reservation if it is large.
    /// Everything before its first wait is done by the first poll.
    pub(super) async fn answer(
        self,
        app: SharedApp,
        caller: Caller,
    ) -> (Vec<u8>, Option<Arc<Room>>) {
        let path = self.path();
        let (id, encoding) = (self.id.clone(), self.encoding);
        let response = match AssertUnwindSafe(self.call(app, caller))
            .catch_unwind()
            .await
        {
            Ok(result) => result,
            Err(payload) => {
                let panic = problem::panic_text(&*payload);
                tracing::error!(panic, "an operation panicked");
                Err(problem::panicked())
            }
        };
        match reply(encoding, &id, response).await {
            Ok(reply) => reply,
            Err(problem) => (refusal(encoding, Some(id), problem, path), None),
        }
    }

    /// Calls the handler of the HTTP route.
    async fn call(self, app: SharedApp, caller: Caller) -> Result<Response, Failure> {
        let (encoding, op, path) = (self.encoding, self.op, self.path());
        let full = |caller: Caller| caller.full(|| format!("{} on {path}", op.as_str()));
        let (bytes, room) = (self.body, self.room?);
        let state = State(app.clone());
        let note = caller.note().clone();
        // The ids of operations that need one have been checked.
        let env_id = Path(self.env_id.unwrap_or_default());
        let accept = Accept(encoding);

        macro_rules! decoded {
            () => {
                body(&app, &note, encoding, &bytes, room).await?
            };
        }
        macro_rules! call {
            ($handlers:ident) => {
                match op {
                    StreamOp::Create => $handlers::create(state, full(caller)?, decoded!()).await,
                    StreamOp::Put => $handlers::put(state, full(caller)?, env_id, decoded!()).await,
                    StreamOp::List => {
                        let page = query(encoding, &bytes)?;
                        $handlers::list(state, full(caller)?, page, accept).await
                    }
                    StreamOp::Describe => {
                        no_body(encoding, &bytes)?;
                        $handlers::get(state, caller, env_id, accept).await
                    }
                    StreamOp::Close => {
                        no_body(encoding, &bytes)?;
                        let closed = $handlers::close(state, full(caller)?, env_id).await;
                        closed.map(IntoResponse::into_response)
                    }
                    StreamOp::Reset => $handlers::reset(state, caller, env_id, decoded!()).await,
                    StreamOp::Step => $handlers::step(state, caller, env_id, decoded!()).await,
                    StreamOp::Lease => {
                        $handlers::lease(state, full(caller)?, env_id, decoded!()).await
                    }
                    StreamOp::Snapshot => {
                        no_body(encoding, &bytes)?;
                        $handlers::snapshot(state, full(caller)?, env_id, accept).await
                    }
                    StreamOp::Restore => {
                        $handlers::restore(state, full(caller)?, env_id, decoded!()).await
                    }
                    StreamOp::Fork => {
                        $handlers::fork(state, full(caller)?, env_id, decoded!()).await
                    }
                    StreamOp::Trajectory => {
                        let page = query(encoding, &bytes)?;
                        $handlers::trajectory(state, full(caller)?, env_id, page, accept).await
                    }
                }
            };
        }
        match self.kind {
            StreamKind::Env => call!(envs),
            StreamKind::VectorEnv => call!(vector_envs),
        }
    }

    /// Returns the path of the HTTP route.
    fn path(&self) -> String {
        let mut path = match self.kind {
            StreamKind::Env => "/v1/envs".to_owned(),
            StreamKind::VectorEnv => "/v1/vector-envs".to_owned(),
        };
        if let Some(env_id) = &self.env_id {
            path.push('/');
            path.push_str(env_id);
        }
        match self.op {
            StreamOp::Create
            | StreamOp::Put
            | StreamOp::List
            | StreamOp::Describe
            | StreamOp::Close => {}
            op => {
                path.push('/');
                path.push_str(op.as_str());
            }
        }
        path
    }
}

/// Decodes a body as the HTTP route does.
async fn body<T: for<'de> Deserialize<'de> + Send + 'static>(
    app: &SharedApp,
    note: &Note,
    encoding: Encoding,
    bytes: &Bytes,
    room: Option<Room>,
) -> Result<Call<T>, Failure> {
    let bytes = bytes.clone();
    Ok(Call::decode(encoding, bytes, room, encoding, &app.bodies, note).await?)
}

/// Decodes a query as the HTTP route does, but from a body.
fn query<T: for<'de> Deserialize<'de>>(encoding: Encoding, bytes: &[u8]) -> Result<T, Failure> {
    Ok(Call::read(encoding, bytes, encoding)?.body)
}

/// Checks that a body is empty, for operations that take none.
fn no_body(encoding: Encoding, bytes: &[u8]) -> Result<(), Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}
    let Empty {} = query(encoding, bytes)?;
    Ok(())
}

/// Converts a handler's response into a reply.
async fn reply(
    encoding: Encoding,
    id: &StreamId,
    response: Result<Response, Failure>,
) -> Result<(Vec<u8>, Option<Arc<Room>>), Problem> {
    let response = response.map_err(Failure::into_problem)?;
    let (mut parts, body) = response.into_parts();
    let room = parts.extensions.remove::<Arc<Room>>();
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|e| Problem::new(ErrorCode::Internal, e.to_string()))?;
    let reply = StreamReply {
        id: Some(id.clone()),
        status: parts.status.as_u16(),
        replayed: parts.headers.contains_key(IDEMPOTENCY_REPLAYED),
        body: without_line_end(encoding, &body),
    };
    Ok((reply.encode(encoding), room))
}

/// Strips the newline at the end of JSON, which is for people who use HTTP.
fn without_line_end(encoding: Encoding, body: &[u8]) -> &[u8] {
    match encoding {
        Encoding::Json => body.strip_suffix(b"\n").unwrap_or(body),
        Encoding::MessagePack => body,
    }
}

/// Builds the reply that reports a problem.
fn refusal(
    encoding: Encoding,
    id: Option<StreamId>,
    mut problem: Problem,
    path: String,
) -> Vec<u8> {
    problem.instance = Some(path.into());
    let reply = StreamReply {
        id,
        status: problem.status,
        replayed: false,
        body: &encoding.encode(&problem),
    };
    reply.encode(encoding)
}
