//! Errors on the wire: RFC 9457 problem documents and the one table of codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `Content-Type` of a problem document, whatever was asked for.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

macro_rules! error_codes {
    ($($variant:ident $status:literal $code:literal $retryable:literal $title:literal $advice:literal)*) => {
        /// What went wrong, as a program sees it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $(#[doc = $title] #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, by status.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code on the wire.
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

            /// What to do about it.
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
        "See the detail for the part that is wrong."
    Unauthorized 401 "unauthorized" false "The request carries no token that is known here"
        "Send the header Authorization: Bearer TOKEN, with a token of the server's --token-file."
    Forbidden 403 "forbidden" false "The token may not do this"
        "Use a token that may, or ask whoever runs the server."
    BudgetExceeded 403 "budget-exceeded" false "The steps that the token may take have been taken"
        "Go on with what was learnt so far, or ask whoever runs the server for more. The budget is max_steps in the server's --token-file."
    CrossOrigin 403 "cross-origin" false "A page of another origin may not use this server"
        "Start the server with --allowed-origins and the page's origin, or serve the page from the server's own host. Programs send no Origin."
    OracleNotAllowed 403 "oracle-not-allowed" false "This server does not tell what an oracle would do"
        "Start it with --allow-oracle. Its answers are for baselines: what learns must not see them."
    UnknownRoute 404 "unknown-route" false "There is nothing at this path"
        "See /docs for the paths there are."
    UnknownSpec 404 "unknown-spec" false "There is no such spec"
        "GET /v1/specs lists the specs."
    UnknownEnv 404 "unknown-env" false "There is no such environment"
        "Create it first. Single and vector environments have paths of their own, and without --data-dir none outlives its server."
    UnknownSession 404 "unknown-session" false "There is no such session"
        "PUT /v1/sessions/{id} begins one. None outlives its service."
    MethodNotAllowed 405 "method-not-allowed" false "The method is not allowed here"
        "The Allow header lists the methods that are."
    NotAcceptable 406 "not-acceptable" false "No encoding that Accept allows can be given"
        "Accept application/json or application/vnd.msgpack."
    SlowRequest 408 "slow-request" true "The request did not arrive in time"
        "Send the whole request at once. Nothing has been applied."
    EnvExists 409 "env-exists" false "The id is taken by an environment created with another body"
        "Choose another id, or repeat the very body it was created with."
    SeqConflict 409 "seq-conflict" false "The seq is neither the next one nor that of the same operation before"
        "Go on with expected_seq. Another client may be playing the same environment, or the seq is older than the operations that are kept: at least the last 64, fewer of a large environment."
    NeedsReset 409 "needs-reset" false "The episode has ended or never begun"
        "Reset first."
    SessionExists 409 "session-exists" false "The id is taken by a session begun with another body"
        "Choose another id, or repeat the very body it was begun with."
    EnvClosed 410 "env-closed" false "The environment has been closed"
        "Create another one, under another id."
    LeaseExpired 410 "lease-expired" false "The environment's lease has run out"
        "Create another one, under another id. Operate more often than every ttl_s seconds, or POST …/lease in between."
    EnvLost 410 "env-lost" false "The environment's records were damaged and it could not be recovered"
        "Create another one, under another id. The server's log says which file was damaged."
    SessionClosed 410 "session-closed" false "The session has been closed"
        "Begin another one, under another id."
    SessionExpired 410 "session-expired" false "The session's lease has run out"
        "Begin another one, under another id. Ask for actions more often than every ttl_s seconds."
    BodyTooLarge 413 "body-too-large" false "The body is larger than the server takes"
        "Send fewer lanes in one request, or raise the server's --max-body-bytes."
    UriTooLong 414 "uri-too-long" false "The path and query are longer than the server takes"
        "Send what is long in a body."
    UnsupportedMediaType 415 "unsupported-media-type" false "The body's encoding is not said, or not known"
        "Send application/json or application/vnd.msgpack and say so in Content-Type (curl --json does)."
    UnknownHost 421 "unknown-host" false "The request is for a name that is none of this server's"
        "Use localhost or the server's address, or start the server with --allowed-hosts and the name."
    InvalidBody 422 "invalid-body" false "A field is unknown, missing or of the wrong type"
        "The pointer in errors says which."
    InvalidKwargs 422 "invalid-kwargs" false "An argument of the environment is unknown or out of range"
        "GET /v1/specs/{spec_id} lists the arguments and their ranges."
    InvalidOptions 422 "invalid-options" false "A reset option is unknown or out of range"
        "Parameters marked resettable may be given, and to a vector environment reset_mask."
    InvalidAction 422 "invalid-action" false "The action is not in the action space"
        "Describing the environment shows its action space."
    InvalidObservation 422 "invalid-observation" false "The observations are not of the agent's observation space"
        "GET /v1/agent shows the space. A batch has one dimension more, in front."
    InvalidSeed 422 "invalid-seed" false "The seed does not fit"
        "Give one integer, or to a vector environment a list with one for each lane."
    InvalidTtl 422 "invalid-ttl" false "The lease is out of range"
        "Take a shorter ttl_s, or raise the server's --max-ttl-s."
    InvalidNumEnvs 422 "invalid-num-envs" false "The number of lanes is out of range"
        "Take fewer lanes, or raise the server's --max-lanes-per-env (of an agent's service, --max-lanes-per-session)."
    InvalidEnvId 422 "invalid-env-id" false "The id cannot be used"
        "Use 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with a letter or digit."
    InvalidSessionId 422 "invalid-session-id" false "The id cannot be used"
        "Use 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with a letter or digit."
    InvalidState 422 "invalid-state" false "The state is none that this agent gave for these lanes"
        "Send the state of the last reply as it came, to a service of the same checkpoint; null begins anew."
    InvalidSnapshot 422 "invalid-snapshot" false "The snapshot does not fit this environment"
        "Restore into an environment created with the same spec, kwargs, lanes and autoreset mode."
    InvalidQuery 422 "invalid-query" false "A value of the query is out of range for this environment"
        "The detail says what there is."
    SeqReused 422 "seq-reused" false "The last seq came again with another body"
        "A retry repeats its body. A new operation takes the seq of the last reply."
    UpgradeRequired 426 "upgrade-required" false "This path speaks WebSocket only"
        "Open it with a WebSocket client (version 13)."
    QuotaExceeded 429 "quota-exceeded" true "The server holds as many environments or lanes as it may"
        "Close some, or raise the server's --max-envs or --max-lanes (of an agent's service, --max-sessions)."
    RateLimited 429 "rate-limited" true "The token has as many requests under way, or in this second, as it may"
        "Wait as long as Retry-After says, then send the same request. The quotas are in the server's --token-file."
    HeadTooLarge 431 "head-too-large" false "The head of the request is larger than the server takes"
        "Send fewer and shorter headers."
    Internal 500 "internal" false "The server failed"
        "This is a defect: report it with the server's log."
    StorageFailed 503 "storage-failed" true "The operation could not be written down"
        "Nothing was done. The server's log says why; there may be no space left under its --data-dir."
    ServerFull 503 "server-full" true "The server holds as much state as it may"
        "Close some environments, or raise the server's --max-memory-bytes."
    Draining 503 "draining" true "The server is shutting down"
        "Create it on another server, or on this one after its restart."
    Overloaded 503 "overloaded" true "The server has as much under way as it may"
        "Wait as long as Retry-After says, then send the same request."
    RequestTimeout 503 "request-timeout" true "The request took longer than the server allows"
        "Send the same request, with the same seq: if it has been applied, its stored reply is the answer."
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error reply. Nothing has changed on the server when one comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{code} ({status}): {detail}")]
pub struct Problem {
    /// URI reference that identifies the kind of problem and, resolved, explains it.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Box<str>,
    /// One line that is the same for every problem of the kind.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub title: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// What was wrong this time.
    pub detail: String,
    /// Path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub instance: Option<Box<str>>,
    /// The kind, for programs.
    pub code: ErrorCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The seq the environment expects next, with `seq-conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seq: Option<u64>,
    /// Places in the body that were wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One wrong place in a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body; the empty string is the whole body.
    pub pointer: String,
    /// What was wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem of this kind.
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

    /// The same, pointing at a place in the body.
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
