//! Errors on the wire: RFC 9457 problem documents and the one table of codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `Content-Type` of a problem document, regardless of the `Accept` header.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

macro_rules! error_codes {
    ($($variant:ident $status:literal $code:literal $retryable:literal $title:literal $advice:literal)*) => {
        /// The kind of a problem, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $(#[doc = $title] #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, by status.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// Name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $code),* }
            }

            /// HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$variant => $status),* }
            }

            /// One line for people.
            pub const fn title(self) -> &'static str {
                match self { $(ErrorCode::$variant => $title),* }
            }

            /// Whether the same request may succeed later.
            pub const fn is_retryable(self) -> bool {
                match self { $(ErrorCode::$variant => $retryable),* }
            }

            /// Advice to the caller on how to proceed.
            pub const fn advice(self) -> &'static str {
                match self { $(ErrorCode::$variant => $advice),* }
            }
        }
    };
}

error_codes! {
    MalformedBody 400 "malformed-body" false "The body cannot be parsed"
        "Send one well-formed JSON or MessagePack document, complete and followed by nothing."
    MalformedRequest 400 "malformed-request" false "The request line or its headers cannot be understood"
        "The detail names the part that is wrong."
    Unauthorized 401 "unauthorized" false "The request carries no valid token"
        "Send the header Authorization: Bearer TOKEN, with a token from the server's --token-file."
    Forbidden 403 "forbidden" false "The token may not do this"
        "Use a token with this permission, or ask the server's operator for one."
    BudgetExceeded 403 "budget-exceeded" false "The token's step budget is used up"
        "Continue with what was learned so far, or ask the server's operator for a larger budget: max_steps in the server's --token-file."
    CrossOrigin 403 "cross-origin" false "Pages from other origins may not use this server"
        "Add the page's origin to the server's --allowed-origins, or serve the page from the server's own host. Programs other than browsers send no Origin."
    OracleNotAllowed 403 "oracle-not-allowed" false "This server does not serve the oracle's actions"
        "Start it with --allow-oracle. The oracle's actions are for baselines only: a learner must not see them."
    UnknownRoute 404 "unknown-route" false "There is nothing at this path"
        "See /docs for the available paths."
    UnknownSpec 404 "unknown-spec" false "There is no such spec"
        "GET /v1/specs lists the specs."
    UnknownEnv 404 "unknown-env" false "There is no such environment"
        "Create it first. Single and vector environments have separate paths, and without --data-dir no environment survives a restart of the server."
    UnknownSession 404 "unknown-session" false "There is no such session"
        "PUT /v1/sessions/{id} starts one. No session survives a restart of the service."
    MethodNotAllowed 405 "method-not-allowed" false "The method is not allowed here"
        "The Allow header lists the allowed methods."
    NotAcceptable 406 "not-acceptable" false "None of the encodings in Accept is available"
        "Accept application/json or application/vnd.msgpack."
    SlowRequest 408 "slow-request" true "The request did not arrive in time"
        "Send the whole request at once. Nothing has been applied."
    EnvExists 409 "env-exists" false "The id is taken by an environment created with another body"
        "Choose another id, or send exactly the body it was created with."
    SeqConflict 409 "seq-conflict" false "The seq is neither the next one nor that of an identical earlier operation"
        "Continue with expected_seq. Another client may be playing the same environment, or the seq is older than the operations the server keeps: at least the last 64, fewer for a large environment."
    NeedsReset 409 "needs-reset" false "The episode has ended or was never started"
        "Reset first."
    SessionExists 409 "session-exists" false "The id is taken by a session started with another body"
        "Choose another id, or send exactly the body it was started with."
    EnvClosed 410 "env-closed" false "The environment has been closed"
        "Create a new one under another id."
    LeaseExpired 410 "lease-expired" false "The environment's lease has expired"
        "Create a new one under another id. Send an operation at least every ttl_s seconds, or renew the lease with POST …/lease."
    EnvLost 410 "env-lost" false "The environment could not be recovered"
        "Create a new one under another id. Its host failed, as the detail says, or its records were damaged; then the server's log says which file."
    SessionClosed 410 "session-closed" false "The session has been closed"
        "Start a new one under another id."
    SessionExpired 410 "session-expired" false "The session's lease has expired"
        "Start a new one under another id. Ask for actions at least every ttl_s seconds."
    BodyTooLarge 413 "body-too-large" false "The body is larger than the server accepts"
        "Send fewer lanes in one request, or raise the server's --max-body-bytes."
    UriTooLong 414 "uri-too-long" false "The path and query are longer than the server accepts"
        "Send long values in the body."
    UnsupportedMediaType 415 "unsupported-media-type" false "The body's encoding is missing or unknown"
        "Send application/json or application/vnd.msgpack and name it in Content-Type (curl --json does)."
    UnknownHost 421 "unknown-host" false "The request names a host that is not this server's"
        "Use localhost or the server's address, or add the name to the server's --allowed-hosts."
    InvalidBody 422 "invalid-body" false "A field is unknown, missing or of the wrong type"
        "The pointer in errors names the field."
    InvalidKwargs 422 "invalid-kwargs" false "An argument of the environment is unknown or out of range"
        "GET /v1/specs/{spec_id} lists the arguments and their ranges."
    InvalidOptions 422 "invalid-options" false "A reset option is unknown or out of range"
        "Only parameters marked resettable are allowed, and reset_mask for a vector environment."
    InvalidAction 422 "invalid-action" false "The action is not in the action space"
        "GET the environment to see its action space."
    InvalidObservation 422 "invalid-observation" false "The observations are not in the agent's observation space"
        "GET /v1/agent shows the space. A batch has one more dimension, in front."
    InvalidSeed 422 "invalid-seed" false "The seed has the wrong form"
        "Send one integer, or for a vector environment a list with one integer for each lane."
    InvalidTtl 422 "invalid-ttl" false "The lease is out of range"
        "Use a shorter ttl_s, or raise the server's --max-ttl-s."
    InvalidNumEnvs 422 "invalid-num-envs" false "The number of lanes is out of range"
        "Use fewer lanes, or raise the server's --max-lanes-per-env (--max-lanes-per-session for an agent's service)."
    InvalidEnvId 422 "invalid-env-id" false "The id is not valid"
        "Use 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with a letter or digit."
    InvalidSessionId 422 "invalid-session-id" false "The id is not valid"
        "Use 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with a letter or digit."
    InvalidState 422 "invalid-state" false "The state was not issued by this agent for these lanes"
        "Send the state of the last reply unchanged, to a service with the same checkpoint; null starts afresh."
    InvalidSnapshot 422 "invalid-snapshot" false "The snapshot does not fit this environment"
        "Restore into an environment created with the same spec, kwargs, lanes and autoreset mode."
    InvalidQuery 422 "invalid-query" false "A query parameter is out of range for this environment"
        "The detail says which values are available."
    SeqReused 422 "seq-reused" false "The last seq was sent again with another body"
        "A retry repeats the body exactly. A new operation takes the seq of the last reply."
    UpgradeRequired 426 "upgrade-required" false "This path speaks WebSocket only"
        "Open it with a WebSocket client (version 13)."
    QuotaExceeded 429 "quota-exceeded" true "A limit on the number of environments or lanes is reached"
        "Close some, or raise the server's --max-envs or --max-lanes (--max-sessions for an agent's service)."
    RateLimited 429 "rate-limited" true "The token's limit on concurrent requests or requests per second is reached"
        "Wait as long as Retry-After says, then send the same request. The limits are set in the server's --token-file."
    HeadTooLarge 431 "head-too-large" false "The head of the request is larger than the server accepts"
        "Send fewer and shorter headers."
    Internal 500 "internal" false "The server failed"
        "This is a bug: report it with the server's log."
    NotSupported 501 "not-supported" false "Environments of this kind cannot do this"
        "The environments of hosts have no snapshots, trajectories and oracle: docs/hosting.md says what they have."
    HostFailed 502 "host-failed" true "The program that plays these environments failed"
        "The detail names the call and has the last lines of the program's standard error. The server starts the program again with the next request."
    StorageFailed 503 "storage-failed" true "The operation could not be stored"
        "The operation was not applied. The server's log says why; there may be no space left under its --data-dir."
    ServerFull 503 "server-full" true "The server's memory limit is reached"
        "Close some environments, or raise the server's --max-memory-bytes."
    Draining 503 "draining" true "The server is shutting down"
        "Create it on another server, or on this one after its restart."
    Overloaded 503 "overloaded" true "A limit on concurrent connections or requests is reached"
        "Wait as long as Retry-After says, then send the same request."
    RequestTimeout 503 "request-timeout" true "The request took longer than the server allows"
        "Send the same request again, with the same seq: if it was applied, its stored reply comes back."
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error reply. The request that caused it has changed nothing on the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{code} ({status}): {detail}")]
pub struct Problem {
    /// URI reference that identifies the kind of problem and, resolved, explains it.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Box<str>,
    /// One line, the same for every problem of the kind.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub title: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// Description of this occurrence of the problem.
    pub detail: String,
    /// Path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub instance: Option<Box<str>>,
    /// The kind, for programs.
    pub code: ErrorCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The seq that the environment expects next, with `seq-conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seq: Option<u64>,
    /// The places in the body that were wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One wrong place in a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body; the empty string is the whole body.
    pub pointer: String,
    /// Description of the error at that place.
    pub detail: String,
}

impl Problem {
    /// Creates a problem of a kind.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Problem {
            kind: format!("/problems/{code}").into(),
            title: code.title().into(),
            status: code.status(),
            detail: detail.into(),
            instance: None,
            code,
            retryable: code.is_retryable(),
            expected_seq: None,
            errors: Vec::new(),
        }
    }

    /// Adds a place in the body, with the problem's detail.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            pointer: pointer.into(),
            detail: self.detail.clone(),
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_flat_document() {
        let problem = Problem::new(ErrorCode::InvalidAction, "2 is not in 0..2").at("/action");
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({
                "type": "/problems/invalid-action",
                "title": "The action is not in the action space",
                "status": 422,
                "detail": "2 is not in 0..2",
                "code": "invalid-action",
                "retryable": false,
                "errors": [{"pointer": "/action", "detail": "2 is not in 0..2"}],
            })
        );
    }

    #[test]
    fn codes_are_distinct_and_sorted_by_status() {
        let codes: std::collections::HashSet<_> =
            ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert!(ErrorCode::ALL.is_sorted_by_key(|c| c.status()));
    }
}
